/**
 * Film and sound for players, which take no bytes but from URLs: taken apart as it comes and put together anew, not encoded
 * anew, in the way that MediaSource takes. In memory are some seconds before and behind the playhead.
 */
import {
  AppendOnlyStreamTarget,
  CustomSource,
  EncodedAudioPacketSource,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  Input,
  MATROSKA,
  MP4,
  Mp4OutputFormat,
  Output,
  QTFF,
  WEBM,
  WebMOutputFormat,
  type EncodedPacket,
  type InputAudioTrack,
  type InputVideoTrack,
} from 'mediabunny';

/** It cannot be played so: for its container, its codecs, or the way it is put together. All of it at once may be. */
export class Unsuitable extends Error {}

export interface MediaFile {
  size: number;
  /** Bytes [begin, end). */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Seconds. */
const ahead = 30;
const behind = 20;
/** Seconds after which what the muxer remembers of its packets is let go. */
const maxStretch = 300;
/** Bytes from one frame that a player can begin with to the next. */
const maxGroup = 64 * 1_048_576;
const cacheBytes = 4 * 1_048_576;
/** For codecs that MP4 has no place for. Firefox leaves out every other group of frames of a WebM with sound. */
const forWebM: readonly string[] = ['vp8', 'vp9', 'av1', 'opus', 'vorbis'];

/** One track of the file, and the way of its packets into an output. */
interface Track {
  readonly sink: EncodedPacketSink;
  readonly codec: string;
  /** Lets the packets of one output in, and tells how. */
  enter(output: Output): { add(packet: EncodedPacket): Promise<void>; close(): void };
}

/**
 * Settles once the player has its first frame. Rejects with Unsuitable, or with what `file.read` did; of what fails later
 * `failed` is told.
 */
export async function playFrom(player: HTMLMediaElement, file: MediaFile, failed: (error: unknown) => void): Promise<void> {
  let unread: { reason: unknown } | undefined;
  const read = (begin: number, end: number) =>
    file.read(begin, end).catch((reason: unknown) => {
      unread = { reason };
      throw reason;
    });
  const source = new CustomSource({ getSize: () => file.size, read, maxCacheSize: cacheBytes });
  const input = new Input({ source, formats: [MP4, QTFF, MATROSKA, WEBM] });
  try {
    const tracks = await tracksOf(input);
    const mp4 = await typeOf(input, 'mp4');
    const isWebM = !FIREFOX && !MediaSource.isTypeSupported(mp4) && tracks.every(({ codec }) => forWebM.includes(codec));
    const type = isWebM ? await typeOf(input, 'webm') : mp4;
    if (!MediaSource.isTypeSupported(type)) throw new Unsuitable(`not played: ${type}`);
    const duration = (await input.getDurationFromMetadata()) ?? Infinity;
    // A player does not begin before it has all tracks.
    const first = Math.max(0, ...(await Promise.all(tracks.map(({ sink }) => sink.getFirstPacket({ metadataOnly: true })))).map((packet) => packet?.timestamp ?? 0));
    const media = new MediaSource();
    player.src = URL.createObjectURL(media);
    await happens(media, ['sourceopen']);
    media.duration = duration;
    const feed = new Feed(player, media, media.addSourceBuffer(type), tracks, isWebM);
    await feed.start(first, failed);
  } catch (error) {
    input.dispose();
    if (unread) throw unread.reason;
    throw error instanceof Unsuitable ? error : new Unsuitable(String(error), { cause: error });
  }
}

/** The one that others follow first. */
async function tracksOf(input: Input): Promise<Track[]> {
  const [video, audio] = [await input.getPrimaryVideoTrack(), await input.getPrimaryAudioTrack()];
  const tracks = [video && (await videoTrack(video)), audio && (await audioTrack(audio))].filter((track) => track !== null);
  if (tracks.length === 0) throw new Unsuitable('neither picture nor sound');
  return tracks;
}

async function videoTrack(track: InputVideoTrack): Promise<Track> {
  const [codec, decoderConfig] = [await track.getCodec(), await track.getDecoderConfig()];
  if (!codec || !decoderConfig) throw new Unsuitable('an unknown kind of picture');
  const rotation = await track.getRotation();
  return {
    sink: new EncodedPacketSink(track),
    codec,
    enter: (output) => {
      const source = new EncodedVideoPacketSource(codec);
      output.addVideoTrack(source, { rotation });
      return { add: (packet) => source.add(packet, { decoderConfig }), close: () => source.close() };
    },
  };
}

async function audioTrack(track: InputAudioTrack): Promise<Track> {
  const [codec, decoderConfig] = [await track.getCodec(), await track.getDecoderConfig()];
  if (!codec || !decoderConfig) throw new Unsuitable('an unknown kind of sound');
  return {
    sink: new EncodedPacketSink(track),
    codec,
    enter: (output) => {
      const source = new EncodedAudioPacketSource(codec);
      output.addAudioTrack(source);
      return { add: (packet) => source.add(packet, { decoderConfig }), close: () => source.close() };
    },
  };
}

async function typeOf(input: Input, container: 'mp4' | 'webm'): Promise<string> {
  const [video, audio] = [await input.getPrimaryVideoTrack(), await input.getPrimaryAudioTrack()];
  const codecs = [await video?.getCodecParameterString(), await audio?.getCodecParameterString()].filter(Boolean);
  return `${video ? 'video' : 'audio'}/${container}; codecs="${codecs.join(', ')}"`;
}

/** Keeps a player's buffer filled from where it plays. */
class Feed {
  readonly #player: HTMLMediaElement;
  readonly #media: MediaSource;
  readonly #buffer: SourceBuffer;
  readonly #tracks: Track[];
  readonly #isWebM: boolean;
  #run = new AbortController();
  #failed: (error: unknown) => void = () => {};
  /** Bytes given to the output since it last wrote. */
  #unwritten = 0;
  /** Seconds: how far what was given and what was written reach. */
  #given = 0;
  #written = 0;

  constructor(player: HTMLMediaElement, media: MediaSource, buffer: SourceBuffer, tracks: Track[], isWebM: boolean) {
    this.#player = player;
    this.#media = media;
    this.#buffer = buffer;
    this.#tracks = tracks;
    this.#isWebM = isWebM;
  }

  /** Settles with the first frame; `failed` is told of what fails after that. */
  async start(first: number, failed: (error: unknown) => void): Promise<void> {
    const begun = happens(this.#player, ['loadeddata', 'error']);
    const broken = new Promise<never>((_, reject) => (this.#failed = reject));
    if (first > 0) this.#player.currentTime = first;
    this.#player.addEventListener('seeking', () => this.#restart());
    this.#restart();
    const { type } = await Promise.race([begun, broken]);
    if (type === 'error') throw new Unsuitable(this.#player.error?.message ?? 'it does not begin');
    this.#failed = failed;
  }

  /** From the end of what is here of where it plays. */
  #restart(): void {
    this.#run.abort();
    this.#run = new AbortController();
    const { signal } = this.#run;
    const { currentTime } = this.#player;
    this.#write(this.#endOf(currentTime) ?? currentTime, signal).catch((error: unknown) => {
      if (!signal.aborted) this.#failed(error);
    });
  }

  async #write(from: number, signal: AbortSignal): Promise<void> {
    for (let at: number | undefined = from; at !== undefined; ) at = await this.#writeStretch(at, signal);
    await this.#idle(signal);
    if (this.#media.readyState === 'open') this.#media.endOfStream();
  }

  /** Tells where it goes on, if it does. */
  async #writeStretch(from: number, signal: AbortSignal): Promise<number | undefined> {
    const target = new AppendOnlyStreamTarget(new WritableStream({ write: (bytes) => this.#append(bytes, signal) }));
    const format = this.#isWebM ? new WebMOutputFormat({ appendOnly: true }) : new Mp4OutputFormat({ fastStart: 'fragmented' });
    const output = new Output({ format, target });
    const [lead] = this.#tracks;
    const begin = (await lead?.sink.getKeyPacket(from, { metadataOnly: true }))?.timestamp ?? from;
    const lanes = await Promise.all(
      this.#tracks.map(async (track) => {
        const packet = (await track.sink.getKeyPacket(begin)) ?? (await track.sink.getFirstKeyPacket());
        return { ...track.enter(output), sink: track.sink, packet };
      }),
    );
    try {
      await this.#idle(signal);
      if (this.#media.readyState === 'open') this.#buffer.abort(); // What the run before had begun.
      this.#unwritten = 0;
      this.#given = this.#written = begin;
      await output.start();
      for (;;) {
        const [lane] = lanes.filter(({ packet }) => packet).sort((a, b) => (a.packet?.timestamp ?? 0) - (b.packet?.timestamp ?? 0));
        if (!lane?.packet) break;
        const { packet } = lane;
        if (lane === lanes[0] && packet.type === 'key' && packet.timestamp >= begin + maxStretch) {
          await output.finalize();
          return packet.timestamp;
        }
        signal.throwIfAborted();
        this.#given = packet.timestamp;
        this.#unwritten += packet.byteLength;
        if (this.#unwritten > maxGroup) throw new Unsuitable('too few frames to begin with');
        await lane.add(packet);
        lane.packet = await lane.sink.getNextPacket(packet);
        if (!lane.packet) lane.close();
      }
      await output.finalize();
      return undefined;
    } catch (error) {
      void output.cancel().catch(() => {});
      throw error;
    }
  }

  async #append(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#unwritten = 0;
    while (this.#written - this.#player.currentTime > ahead) await this.#progress(signal);
    await this.#forget(2 * behind, signal);
    for (;;) {
      await this.#idle(signal);
      try {
        this.#buffer.appendBuffer(bytes as Uint8Array<ArrayBuffer>);
        break;
      } catch (error) {
        if (!(error instanceof DOMException && error.name === 'QuotaExceededError')) throw error;
        if (!(await this.#forget(0, signal))) await this.#progress(signal);
      }
    }
    await this.#idle(signal);
    this.#written = this.#given;
  }

  /** Removes what is farther than `slack` seconds behind, if there is any. */
  async #forget(slack: number, signal: AbortSignal): Promise<boolean> {
    const { buffered } = this.#buffer;
    const { currentTime } = this.#player;
    const [lead] = this.#tracks;
    if (!lead || buffered.length === 0 || buffered.start(0) >= currentTime - slack) return false;
    // No later than a frame that it can begin with: removal goes on to the next, which may lie ahead.
    const key = await lead.sink.getKeyPacket(currentTime - Math.min(slack, behind), { metadataOnly: true });
    if (!key || key.timestamp <= buffered.start(0)) return false;
    await this.#idle(signal);
    this.#buffer.remove(0, key.timestamp);
    await this.#idle(signal);
    return true;
  }

  #endOf(time: number): number | undefined {
    const { buffered } = this.#buffer;
    for (let i = 0; i < buffered.length; i++) if (buffered.start(i) <= time && time < buffered.end(i)) return buffered.end(i);
    return undefined;
  }

  async #idle(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.#buffer.updating) await happens(this.#buffer, ['updateend'], signal);
  }

  async #progress(signal: AbortSignal): Promise<void> {
    await happens(this.#player, ['timeupdate', 'ended'], signal);
  }
}

/** The next event of one of those names. */
function happens(target: EventTarget, names: string[], signal?: AbortSignal): Promise<Event> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const heard = new AbortController();
    const hear = (event: Event) => {
      heard.abort();
      if (event.type === 'abort') reject(signal?.reason as Error);
      else resolve(event);
    };
    for (const name of names) target.addEventListener(name, hear, { signal: heard.signal });
    signal?.addEventListener('abort', hear, { signal: heard.signal });
  });
}
