import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { RunFolder } from '@locmoe/run-format';
import { parseRoutesFileName } from '@locmoe/run-format/routes-file';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { templateOf } from 'locmoe/internal/data/template';
import { textsOf } from 'locmoe/internal/data/tokenizer/token-texts';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { readProbe } from 'locmoe/internal/evaluation/routes/probe';
import type { ProbeData } from 'locmoe/internal/evaluation/routes/probe-data';
import { expertsOfDomain } from 'locmoe/internal/routing/groups/domain-groups';
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
  async write(checkpoint, output, _, withRoutes = false) {
    const { manifest, tokenizerFile } = checkpoint;
    const probe = withRoutes ? await probeOf(checkpoint) : null;
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
    await output.write('model/routes.json', `${JSON.stringify(probe)}\n`);
    for (const file of readdirSync(PAGE_DIR, { recursive: true, withFileTypes: true }))
      if (file.isFile() && !NOT_OF_THE_PAGE.test(file.name)) {
        const from = path.join(file.parentPath, file.name);
        await output.copy(from, path.relative(PAGE_DIR, from));
      }
  },
};

/**
 * Reads the probe of a checkpoint's run up to the checkpoint.
 *
 * @throws TrainerError `BAD_INPUT` if there is none
 */
async function probeOf({ folder, manifest, tokenizerFile }: Checkpoint): Promise<ProbeData> {
  const { name, data, moe } = manifest.config;
  const { probe } = new RunFolder(path.resolve(folder, '../..'));
  const names = existsSync(probe) ? readdirSync(probe) : [];
  const tokenizer = loadTokenizer(tokenizerFile, data.endOfText);
  const open = expertsOfDomain(data.domains.length, moe);
  const routes = await readProbe({
    name,
    numExperts: moe.numExperts,
    expertsOfDomain: Object.fromEntries(data.domains.map((domain, id) => [domain, [...open[id]!]])),
    files: names
      .filter((file) => (parseRoutesFileName(file)?.step ?? Number.POSITIVE_INFINITY) <= manifest.step)
      .map((file) => path.join(probe, file)),
    textsOf: (ids) => textsOf(tokenizer, ids),
  });
  if (routes.steps.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `--with-routes: ${probe} has no routes up to step ${manifest.step}; train with train.probeRoutes, or leave it out`,
    );
  return routes;
}
