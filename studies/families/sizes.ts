import { rmSync } from 'node:fs';
import path from 'node:path';
import { resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { gguf } from '../../packages/export/src/gguf/gguf.js';
import { writeFolder } from '../../packages/export/src/output-folder.js';
import type { Parts } from '../kit/parts.js';
import type { Place } from '../kit/study.js';
import { percent, type View } from '../kit/text.js';
import type { LongModel, Trained } from './long-model.js';

/** Bytes of a GGUF file, its tokenizer included, by type of the weights. */
export interface Sizes {
  readonly parameters: number;
  readonly files: readonly { readonly type: string; readonly bytes: number }[];
}

export function planSizes(
  { config, parameters }: LongModel,
  { workDir }: Pick<Place<unknown, unknown>, 'workDir'>,
) {
  const types = gguf.types!;
  const part = { name: 'sizes', kind: 'sizes', key: { config, types } };
  return {
    part,
    make: (parts: Parts, { checkpoint: folder }: Trained) =>
      parts.do<Sizes>(part, async () => {
        const checkpoint = resolveCheckpoint(folder, () => undefined);
        const output = path.join(workDir, 'gguf');
        const files: { type: string; bytes: number }[] = [];
        for (const type of types) {
          const written = await writeFolder(output, (to) => gguf.write(checkpoint, to, type));
          files.push({ type, bytes: written.find(({ name }) => name === 'model.gguf')!.bytes });
        }
        rmSync(output, { recursive: true });
        return { parameters, files };
      }),
  };
}

export function sizesView({ parameters, files }: Sizes): View {
  return {
    parameters: (parameters / 1e6).toFixed(1),
    files: files.map(({ type, bytes }) => ({
      type,
      megabytes: (bytes / 1e6).toFixed(1),
      bits: ((8 * bytes) / parameters).toFixed(2),
      share: percent(bytes / files[0]!.bytes),
    })),
  };
}
