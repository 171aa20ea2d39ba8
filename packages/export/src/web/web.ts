import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { templateOf } from 'locmoe/internal/data/template';
import { attentions } from '../exported-architecture.js';
import { writeGraph } from '../onnx/onnx.js';
import type { ExportTarget } from '../target.js';
import type { ModelConfig } from './browser/messages.js';

/** Output of the build; the path is the same from `src` and from `dist`. */
const PAGE_DIR = fileURLToPath(new URL('../../dist/web/browser/', import.meta.url));

/** Source maps and types, which only the compiler needs. */
const NOT_OF_THE_PAGE = /\.(map|d\.ts)$/;

export const web: ExportTarget = {
  description: 'a page that runs the model in the browser and shows which expert takes which token',
  async write(checkpoint, output) {
    const { manifest, tokenizerFile } = checkpoint;
    const { name, data } = manifest.config;
    const { architecture, config, numParameters } = await writeGraph(checkpoint, output, 'model', true);
    await output.copy(tokenizerFile, 'model/tokenizer.json');
    const rules = architecture.blocks.flatMap(({ operation }) =>
      operation.op === 'experts' ? [operation.rule!] : [],
    );
    // A threshold in other units than the affinities cannot be shown beside them.
    const thresholds = rules.map(({ keep, affinities }) =>
      keep?.scores === affinities ? [...checkpoint.read(keep.threshold.name)] : null,
    );
    const { numKeyValueHeads, headDim } = attentions(architecture)[0]!;
    const settings: ModelConfig = {
      ...config,
      name,
      numParameters,
      affinities: rules[0]?.affinities.op ?? null,
      thresholds,
      numKeyValueHeads,
      headDim,
      templates: data.domains.map((_, domain) => templateOf(data, domain)),
    };
    await output.write('model/config.json', `${JSON.stringify(settings, null, 1)}\n`);
    for (const file of readdirSync(PAGE_DIR, { recursive: true, withFileTypes: true }))
      if (file.isFile() && !NOT_OF_THE_PAGE.test(file.name)) {
        const from = path.join(file.parentPath, file.name);
        await output.copy(from, path.relative(PAGE_DIR, from));
      }
  },
};
