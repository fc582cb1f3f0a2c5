/**
 * In pages of sites that may use the node: joins a page's library to it (browser/lib/src/extension.ts). Nobody else's page has it.
 */
import { extensionMark, type ExtensionCall } from '../../lib/src/extension';
import { meetNode, type Connection } from './handshake';
import { serveLibrary } from './join';
import type { Request, Woken } from './messages';

async function connect(version: number): Promise<Connection | undefined> {
  const request: Request = { type: 'wake' };
  const { error } = await chrome.runtime.sendMessage<Request, Woken>(request);
  if (error !== undefined) throw new Error(error);
  return meetNode(version, FIREFOX ? carry : handOver);
}

/** Firefox's ports between scripts and extensions carry bytes. */
async function carry(_: string, port: MessagePort, life: chrome.runtime.Port): Promise<void> {
  let isMet = false;
  life.onMessage.addListener((message: unknown) => {
    if (isMet) port.postMessage(message);
    isMet = true; // That was the first, which says so.
  });
  life.onDisconnect.addListener(() => port.close());
  port.onmessage = ({ data }: MessageEvent<unknown>) => life.postMessage(data);
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

if (window === top) {
  document.documentElement.dataset[extensionMark] = 'here';
  addEventListener('message', ({ data, source, origin, ports: [control] }: MessageEvent<Partial<ExtensionCall> | null>) => {
    if (source !== window || origin !== location.origin || data?.codio !== 'join' || !control) return;
    void serveLibrary(control, () => connect(Number(data.version)));
  });
}
