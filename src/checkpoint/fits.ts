import { isDeepStrictEqual } from 'node:util';
import { expertWidthOf, type RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { formatNumberOf } from '../format.js';
import { routerPolicy } from '../routing/index.js';
import type { Checkpoint } from './checkpoint.js';

type Fields = Record<string, unknown>;

/**
 * Checks that a checkpoint's parameters have the names, shapes and meaning that a run needs.
 *
 * @param use `resume` also requires the same domains and low-rank pairs; weights alone may be used with others
 * @param tokenizerSha256 hash of the run's tokenizer; left out before its data are prepared
 * @throws TrainerError `BAD_CONFIG` naming each field that differs, with both values
 */
export function assertFits(
  checkpoint: Checkpoint,
  config: RunConfig,
  use: 'resume' | 'weights',
  tokenizerSha256 = checkpoint.manifest.tokenizerSha256,
): void {
  const { manifest, folder } = checkpoint;
  assertSameSubModel(checkpoint, config);
  const { shapedBy } = routerPolicy(config.moe.router);
  const wanted = fieldsOfTheModel(config, shapedBy, tokenizerSha256);
  const stored = fieldsOfTheModel(manifest.config, shapedBy, manifest.tokenizerSha256);
  if (use === 'weights') {
    for (const field of ['data.domains', 'train.lora']) delete wanted[field];
    if (hasNoPositions(config)) delete wanted['model.seqLen'];
  }
  assertEqual(wanted, stored, `checkpoint ${folder} does not fit the configuration`);
}

/** Checks that checkpoint and run have the same sub-model, as no other sub-model has the same experts. */
function assertSameSubModel({ manifest, folder }: Checkpoint, config: RunConfig): void {
  const [stored, wanted] = [manifest.config.moe.subModel, config.moe.subModel];
  if (isDeepStrictEqual(stored, wanted)) return;
  const whole = (subModel: typeof stored) =>
    subModel === null ? 'a whole model' : `the sub-model of ${subModel.domain}`;
  throw new TrainerError(
    'BAD_CONFIG',
    `checkpoint ${folder} is ${whole(stored)}, and this run has ${whole(wanted)} (moe.subModel): leave out --config for ` +
      "the checkpoint's own configuration, and change it with --set",
  );
}

function fieldsOfTheModel(
  config: RunConfig,
  fieldsOfTheRouter: readonly string[],
  tokenizerSha256: string,
): Fields {
  const moe = { ...config.moe, ...config.moe.routerOptions };
  const decisive = [
    'numExperts',
    'expertGroups',
    'sharedExperts',
    'sharedExpertGate',
    'router',
    ...fieldsOfTheRouter,
  ];
  const width = expertWidthOf(config);
  return {
    ...named('model', config.model),
    'moe.dFeedForward': width === config.model.dFeedForward ? null : width,
    ...named('moe', Object.fromEntries(decisive.map((field) => [field, Reflect.get(moe, field)]))),
    // The order of the domains determines their ids, and the ids determine the experts.
    'data.domains': `[${config.data.domains.join(', ')}]`,
    ...named('train', { lora: config.train.lora }),
    'tokenizer SHA-256': tokenizerSha256,
  };
}

/**
 * Checks that the model of a run can grow from a checkpoint.
 *
 * @param tokenizerSha256 hash of the run's tokenizer; left out where it is not known yet
 * @throws TrainerError `BAD_CONFIG` naming each field that differs, with both values
 */
export function assertInheritable(
  { manifest, folder }: Checkpoint,
  { model, moe }: Pick<RunConfig, 'model' | 'moe'>,
  tokenizerSha256 = manifest.tokenizerSha256,
): void {
  const dense = manifest.config.model;
  if (dense.numSparseLayers > 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `--inherit: checkpoint ${folder} has ${formatNumberOf(dense.numSparseLayers, 'sparse layer')} (model.numSparseLayers), and a model ` +
        'grows from a dense one; --init takes the weights of the same model',
    );
  if (model.numSparseLayers === 0)
    throw new TrainerError(
      'BAD_CONFIG',
      '--inherit: model.numSparseLayers is 0 in this run, so there are no experts to grow; give a configuration with ' +
        'sparse layers, or --init for a dense model',
    );
  const wanted = sizesOf(model, tokenizerSha256);
  const stored = sizesOf(dense, manifest.tokenizerSha256);
  if (hasNoPositions({ model })) delete wanted['model.seqLen'];
  assertEqual(wanted, stored, `--inherit: the model cannot grow from checkpoint ${folder}`);
  const problem = unitsProblem({ model, moe });
  if (problem !== null) throw new TrainerError('BAD_CONFIG', `--inherit: ${problem}`);
}

/** Tells why the hidden units of a dense feed-forward cannot be divided among the experts; null if they can. */
function unitsProblem({ model, moe }: Pick<RunConfig, 'model' | 'moe'>): string | null {
  const units = model.dFeedForward;
  const width = expertWidthOf({ model, moe });
  if (moe.sharedExpertGate)
    return 'moe.sharedExpertGate: an untrained gate would halve the output that shared experts inherit from the dense model; set it to false';
  if (units % width !== 0)
    return `moe.dFeedForward ${width} does not divide model.dFeedForward ${units}: experts take equal slices of a dense feed-forward`;
  return moe.sharedExperts * width < units
    ? null
    : `moe.sharedExperts: ${moe.sharedExperts} of width ${width} take all ${units} hidden units of a dense feed-forward ` +
        '(model.dFeedForward) and leave the routed experts none; lower it or moe.dFeedForward';
}

/** Returns the sizes that must be equal in the dense and the sparse model. */
function sizesOf(
  { numDenseLayers, numSparseLayers, ...sizes }: RunConfig['model'],
  tokenizerSha256: string,
): Fields {
  return {
    'the number of layers (model.numDenseLayers + model.numSparseLayers)': numDenseLayers + numSparseLayers,
    ...named('model', sizes),
    'tokenizer SHA-256': tokenizerSha256,
  };
}

/** Tells whether no parameter depends on the length of a sequence. */
function hasNoPositions({ model }: Pick<RunConfig, 'model'>): boolean {
  return model.family === 'llama';
}

function named(section: string, fields: object): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([field, value]) => [
      `${section}.${field}`,
      typeof value === 'object' ? JSON.stringify(value) : value,
    ]),
  );
}

/** @throws TrainerError `BAD_CONFIG` naming each wanted field that differs, with both values */
function assertEqual(wanted: Fields, stored: Fields, what: string): void {
  const differences = Object.keys(wanted)
    .filter((field) => wanted[field] !== stored[field])
    .map((field) => `${field} is ${stored[field]} there and ${wanted[field]} in this run`);
  if (differences.length > 0) throw new TrainerError('BAD_CONFIG', `${what}: ${differences.join('; ')}`);
}
