/** What the core worker uses of an `RTCDataChannel`. */
export interface Channel {
  binaryType: string;
  bufferedAmountLowThreshold: number;
  readonly bufferedAmount: number;
  readonly readyState: string;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: Event) => void) | null;
  onbufferedamountlow: ((event: Event) => void) | null;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

type Notice = 'open' | 'close' | number | ArrayBuffer;

/**
 * The page's half where a browser cannot transfer a data channel: the channel stays on the page, and this carries its
 * messages and events through the port returned, to a ForwardedChannel in the worker.
 */
export function forwardChannel(channel: RTCDataChannel): MessagePort {
  const { port1, port2 } = new MessageChannel();
  const tell = (notice: Notice) => port1.postMessage(notice, typeof notice === 'object' ? [notice] : []);
  const tellBuffered = () => tell(channel.bufferedAmount);
  channel.onopen = () => tell('open');
  channel.onmessage = ({ data }: MessageEvent<unknown>) => tell(data instanceof ArrayBuffer ? data : 'close');
  channel.onclose = () => tell('close');
  channel.onbufferedamountlow = tellBuffered;
  port1.onmessage = ({ data }: MessageEvent<ArrayBuffer | 'close'>) => {
    if (data === 'close') return channel.close();
    if (channel.readyState !== 'open') return;
    channel.send(data);
    if (channel.bufferedAmount <= channel.bufferedAmountLowThreshold) tellBuffered();
  };
  return port2;
}

/** The worker's half. `bufferedAmount` also counts what is on its way to the page. */
export class ForwardedChannel implements Channel {
  binaryType = '';
  bufferedAmountLowThreshold = 0;
  bufferedAmount = 0;
  readyState = 'connecting';
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: Event) => void) | null = null;
  onbufferedamountlow: ((event: Event) => void) | null = null;
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
    port.onmessage = (event: MessageEvent<Notice>) => {
      if (event.data === 'open') {
        this.readyState = 'open';
        this.onopen?.(event);
      } else if (event.data === 'close') {
        this.readyState = 'closed';
        this.onclose?.(event);
      } else if (typeof event.data === 'number') {
        this.bufferedAmount = event.data;
        this.onbufferedamountlow?.(event);
      } else {
        this.onmessage?.(event);
      }
    };
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    const { buffer } = bytes.slice();
    this.bufferedAmount += buffer.byteLength;
    this.#port.postMessage(buffer, [buffer]);
  }

  close(): void {
    this.#port.postMessage('close');
  }
}
