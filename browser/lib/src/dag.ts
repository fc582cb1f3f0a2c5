import { Core, digest, type BuilderAbi } from './core';

const chunkSize = 256 * 1024;
const sha256 = 0x12;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Builds the file's DAG, as src/content_id/unixfs/builder.h says, and tells its root. Each block is given to `keep`, what
 * that rejects with ends it. The bytes are read as they are hashed: in memory are a chunk of them and the blocks that
 * `keep` has not settled.
 */
export async function buildDag(
  module: WebAssembly.Module,
  file: ReadableStream<Bytes>,
  keep: (cid: string, block: Bytes) => Promise<unknown>,
): Promise<string> {
  const core = new Core<BuilderAbi>(module);
  const { abi } = core;
  const builder = abi.builder_new();
  const reader = file.getReader();
  for (let part = await reader.read(); part.value; part = await reader.read()) {
    for (let at = 0; at < part.value.length; at += chunkSize) {
      const chunk = part.value.subarray(at, at + chunkSize);
      abi.builder_append(builder, core.write(chunk), chunk.length);
      await keepBuilt(core, builder, keep);
    }
  }
  abi.builder_finish(builder);
  while (!abi.builder_root(builder)) await keepBuilt(core, builder, keep);
  return core.text;
}

/** Nothing uses the builder any more when it settles. */
async function keepBuilt(core: Core<BuilderAbi>, builder: number, keep: (cid: string, block: Bytes) => Promise<unknown>): Promise<void> {
  const keeping: Promise<unknown>[] = [];
  while (core.abi.builder_poll(builder)) {
    const { id } = core;
    const block = core.bytes.slice();
    keeping.push(
      digest(sha256, block).then((hash) => {
        core.abi.builder_hashed(builder, id, core.write(hash));
        return keep(core.text, block);
      }),
    );
  }
  const failed = (await Promise.allSettled(keeping)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}
