/**
 * In pages of sites that may use the node: joins a page's library to it (browser/lib/src/extension.ts). Nobody else's page has it.
 */
import { extensionMark, type ExtensionAnswer, type ExtensionCall } from '../../lib/src/extension';
import type { Request, Woken } from './messages';

/** Between tries to have a node again. */
const retryAfter = 1_000;
const maxTries = 5;

async function serve(control: MessagePort, version: number): Promise<void> {
  for (let tries = 0; tries < maxTries; tries++) {
    const began = performance.now();
    try {
      const request: Request = { type: 'wake' };
      const { error } = await chrome.runtime.sendMessage<Request, Woken>(request);
      if (error !== undefined) break;
      await useNode(control, version);
    } catch {
      break; // The extension was removed or replaced.
    }
    if (performance.now() - began > retryAfter) tries = 0;
    else await new Promise((resolve) => setTimeout(resolve, retryAfter));
  }
  answer(control, { type: 'gone' });
}

/** Settles when that node is gone. */
async function useNode(control: MessagePort, version: number): Promise<void> {
  const token = crypto.randomUUID();
  const life = chrome.runtime.connect({ name: `page ${token} ${version}` });
  const gone = new Promise<void>((resolve) => life.onDisconnect.addListener(() => resolve()));
  const { port1, port2 } = new MessageChannel();
  if (FIREFOX) {
    life.onMessage.addListener((message: unknown) => port2.postMessage(message));
    port2.onmessage = ({ data }: MessageEvent<unknown>) => life.postMessage(data);
  } else {
    await handOver(token, port2);
  }
  answer(control, { type: 'node' }, [port1]);
  await gone;
  port2.close();
}

/** Through a frame of ours, for as long as that takes: Chromium's ports between scripts and extensions carry text only. */
async function handOver(token: string, port: MessagePort): Promise<void> {
  const frame = document.createElement('iframe');
  frame.hidden = true;
  frame.src = chrome.runtime.getURL('bridge.html');
  const host = document.createElement('div');
  host.hidden = true;
  host.attachShadow({ mode: 'closed' }).append(frame);
  const loaded = new Promise((resolve) => (frame.onload = resolve));
  document.documentElement.append(host);
  await loaded;
  const done = new MessageChannel();
  const taken = new Promise((resolve) => (done.port1.onmessage = resolve));
  frame.contentWindow?.postMessage({ token }, '*', [port, done.port2]);
  await taken;
  host.remove();
}

function answer(control: MessagePort, message: ExtensionAnswer, transfer: Transferable[] = []): void {
  control.postMessage(message, transfer);
}

if (window === top) {
  document.documentElement.dataset[extensionMark] = 'here';
  addEventListener('message', ({ data, source, origin, ports: [control] }: MessageEvent<Partial<ExtensionCall> | null>) => {
    if (source !== window || origin !== location.origin || data?.codio !== 'join' || !control) return;
    void serve(control, Number(data.version));
  });
}
