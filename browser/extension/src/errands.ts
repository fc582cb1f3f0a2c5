/** Files of sites that are read for the user: to share them, or to tell their CIDs. */
import { fetchFile, nameOf, type FetchedFile, type Limit } from './fetch-file';
import type { Errand, ErrandView, Outcome } from './messages';

interface Running {
  readonly view: ErrandView;
  readonly stopping: AbortController;
}

export class Errands {
  readonly #changed: () => void;
  readonly #running = new Map<string, Running>();
  readonly #begun = new Set<string>();

  /** `changed` is called whenever `views` has. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get views(): ErrandView[] {
    return [...this.#running.values()].map(({ view }) => view);
  }

  /** Reads the file for `use`, once for one id: nothing if that has begun. What fails is told in the outcome. */
  async run(
    { id, type, url }: Errand,
    limit: Limit,
    use: (bytes: FetchedFile['bytes']) => Promise<Outcome>,
  ): Promise<Outcome | undefined> {
    if (this.#begun.has(id)) return undefined;
    this.#begun.add(id);
    const view: ErrandView = { id, type, name: nameOf(url), received: 0, total: undefined, isRead: false };
    const stopping = new AbortController();
    this.#running.set(id, { view, stopping });
    this.#changed();
    const watch = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (part, controller) => {
        view.received += part.length;
        this.#changed();
        controller.enqueue(part);
      },
      flush: () => {
        view.isRead = true;
        this.#changed();
      },
    });
    try {
      const file = await fetchFile(url, limit, stopping.signal);
      view.total = file.size;
      return await use(file.bytes.pipeThrough(watch));
    } catch (cause) {
      // Not every browser tells it to who reads.
      const error: unknown = stopping.signal.aborted ? stopping.signal.reason : cause;
      return { error: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#running.delete(id);
      this.#changed();
    }
  }

  /** What has been read is no more stopped. */
  stop(id: string): void {
    const { view, stopping } = this.#running.get(id) ?? {};
    if (view && !view.isRead) stopping?.abort(new Error(`${view.name} was stopped in the popup`));
  }
}
