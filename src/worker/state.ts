import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from '@node-rs/crc32';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { ExpertFile } from '../checkpoint/expert-file.js';
import { inheritedValues } from '../checkpoint/inherit.js';
import {
  momentName,
  type NamedTensor,
  type RankTensors,
  type SavedTensor,
  updatesName,
} from '../checkpoint/rank-tensors.js';
import type { Topology } from '../collectives/topology.js';
import type { Transport } from '../collectives/transport.js';
import { expertWidthOf, type RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import { parametersOfExpert } from '../model/parameter-counts.js';
import { useComputation } from '../ops/kernels/choose-kernels.js';
import { isOfPair } from '../parameters/low-rank-pair.js';
import type { ParameterGroup, ParameterRange, ParameterStore } from '../parameters/parameters.js';
import { expertsOfRank, replicasOfRank } from '../routing/groups/expert-placement.js';
import { heldExperts } from '../routing/index.js';
import type { Inheritance } from '../rpc/generated/messages.js';
import type { TrainState } from './train-step.js';

/**
 * Creates a new model and optimizer, or restores those of a checkpoint, which may have been written by any layout of ranks.
 *
 * @param folder folder for the file of experts, if there is one
 */
export function createTrainState(
  config: RunConfig,
  transport: Transport,
  checkpoint: Checkpoint | null,
  folder = tmpdir(),
): TrainState {
  useComputation(config.train);
  const { rank, worldSize } = transport.topology;
  const { kind, budgetMB } = config.moe.expertStorage;
  const expertFile = kind === 'file' ? openExpertFile(config, transport.topology, folder) : null;
  const budgetBytes = kind === 'file' ? 1e6 * budgetMB : Number.POSITIVE_INFINITY;
  const slots = config.train.expertUpdate === 'touched' ? { budgetBytes, storage: expertFile } : null;
  const model = new LanguageModel(config, transport, slots);
  const state: TrainState = {
    config,
    transport,
    model,
    expertFile,
    replicas: replicasOfRank(heldExperts(config.moe).count, worldSize, rank),
  };
  if (checkpoint !== null) {
    loadModel(model, checkpoint);
    loadOptimizer(model, checkpoint);
  }
  // Gradients of several ranks are summed in memory of the host.
  if (transport.topology.worldSize === 1) model.parameters.stayOnDevice();
  return state;
}

function openExpertFile(config: RunConfig, { rank, worldSize }: Topology, folder: string): ExpertFile {
  const { moe, model } = config;
  return new ExpertFile({
    path: join(folder, `experts-rank-${rank}.tmp`),
    numExperts: model.numSparseLayers * expertsOfRank(heldExperts(moe).count, worldSize, rank).length,
    expertSize: parametersOfExpert(config),
  });
}

/**
 * Loads a model's parameters and its routers' state from a checkpoint. Skips experts that are read on demand,
 * and low-rank pairs that the checkpoint does not have, which keep their initial values.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if a tensor is missing, damaged or not in the model
 */
export function loadModel(model: LanguageModel, checkpoint: Checkpoint): void {
  assertAllHavePlaces(model, checkpoint);
  const { parameters } = model;
  for (const { group, ranges } of toLoad(parameters))
    for (const { name, shape, begin } of ranges)
      if (!isOfPair(name) || checkpoint.has(name)) group.values.set(checkpoint.read(name, shape), begin);
  parameters.pushValues();
  for (const [name, values] of model.routerState) values.set(checkpoint.read(name, [values.length]));
}

/**
 * Grows a new model from a dense checkpoint: routers keep their initial parameters and state.
 *
 * @throws TrainerError as `inheritedValues`
 */
export function inheritModel(
  { parameters, config }: LanguageModel,
  dense: Checkpoint,
  inheritance: Inheritance,
): void {
  const sharedWidth = config.moe.sharedExperts * expertWidthOf(config);
  for (const { group, ranges } of toLoad(parameters))
    for (const spec of ranges) {
      const inherited = inheritedValues(dense, spec, inheritance, sharedWidth);
      if (inherited !== null) group.values.set(inherited, spec.begin);
    }
  parameters.pushValues();
}

/** Checks that the model has all tensors of the checkpoint; an extra tensor would belong to another model. */
function assertAllHavePlaces(model: LanguageModel, { manifest, folder }: Checkpoint): void {
  const { numExperts } = manifest.config.moe;
  // A rank knows only its own experts; all experts have tensors of the same names.
  const asFirst = (name: string) =>
    name.replace(/\.experts\.(\d+)\./, (own, id) => (Number(id) < numExperts ? '.experts.0.' : own));
  const parameters = model.parameterSpecs.map(({ name }) => asFirst(name));
  const moments = parameters.flatMap((name) => [momentName('m', name), momentName('v', name)]);
  const updates = [...model.expertUpdates.keys()].map(updatesName);
  const places = new Set([...parameters, ...moments, ...updates, ...model.routerState.keys()]);
  for (const [name, file] of Object.entries(manifest.tensors))
    if (!places.has(asFirst(name)))
      throw new TrainerError(
        'BAD_CHECKPOINT',
        `checkpoint ${folder}: the model has no place for tensor ${name} of ${file}`,
      );
}

/** Yields all parameters with their places in flat arrays; those of an expert are valid until the next is yielded. */
function* toLoad({ shared, expert, slots }: ParameterStore) {
  yield { group: shared, ranges: shared.ranges };
  if (slots === null) yield { group: expert, ranges: expert.ranges };
  else if (!slots.isFilled)
    for (const name of slots.experts.keys()) yield { group: expert, ranges: slots.openToChange(name) };
}

function loadOptimizer({ parameters, expertUpdates }: LanguageModel, checkpoint: Checkpoint): void {
  for (const { group, ranges } of toLoad(parameters))
    for (const { name, shape, begin } of ranges) {
      // Parameters that were frozen have no moments.
      if (!checkpoint.has(momentName('m', name))) continue;
      group.m.set(checkpoint.read(momentName('m', name), shape), begin);
      group.v.set(checkpoint.read(momentName('v', name), shape), begin);
    }
  // If these counts are missing, every step has updated every expert.
  for (const [experts, updatesE] of expertUpdates)
    if (checkpoint.has(updatesName(experts)))
      updatesE.set(checkpoint.read(updatesName(experts), [updatesE.length]));
    else updatesE.fill(checkpoint.manifest.data.nextStep);
}

/** Returns this rank's part of a checkpoint: rank 0 has the shared parameters, the first replica its experts. */
export function tensorsToSave(state: TrainState): RankTensors {
  const { rank } = state.transport.topology;
  const isFirst = rank === 0;
  return partOf(state, {
    writesShared: isFirst,
    writesMoments: isFirst,
    writesExperts: rank === state.replicas[0],
  });
}

/**
 * Returns this rank's part of its node's snapshot: each node has its own experts, and the shared parameters, whose moments
 * are the second rank's part, if there is one, as ranks wait for the one that has most to copy.
 */
export function tensorsToKeep(state: TrainState): RankTensors {
  const { localRank, workersPerNode } = state.transport.topology;
  return partOf(state, {
    writesShared: localRank === 0,
    writesMoments: localRank === Math.min(1, workersPerNode - 1),
    writesExperts: true,
  });
}

function partOf(
  state: TrainState,
  {
    writesShared,
    writesMoments,
    writesExperts,
  }: Readonly<Record<'writesShared' | 'writesMoments' | 'writesExperts', boolean>>,
): RankTensors {
  const { shared, onDevice } = state.model.parameters;
  onDevice?.read();
  const experts = writesExperts ? tensorsOfExperts(state) : { values: [], moments: [] };
  return {
    shared: writesShared ? named(shared.ranges, shared.values) : [],
    optimizerShared: writesMoments ? moments(shared.trained, shared) : [],
    state: writesShared ? [...vectors(state.model.routerState), ...expertUpdates(state)] : [],
    experts: experts.values,
    optimizerExperts: experts.moments,
  };
}

interface ExpertTensors {
  readonly values: readonly SavedTensor[];
  readonly moments: readonly SavedTensor[];
}

/** Returns the tensors of the experts; those in a file stay unchanged until the file is released. */
function tensorsOfExperts({ model, expertFile }: TrainState): ExpertTensors {
  const { expert, slots } = model.parameters;
  if (expertFile === null) {
    const ranges =
      slots === null ? expert.ranges : [...slots.experts.keys()].flatMap((name) => slots.open(name));
    const trained = ranges.filter(({ frozen }) => !frozen);
    return { values: named(ranges, expert.values), moments: moments(trained, expert) };
  }
  slots!.flush();
  expertFile.hold();
  const stored = (array: number, rename: (name: string) => string) =>
    [...slots!.experts.values()].flatMap((ranges, place) =>
      ranges
        .filter(({ frozen }) => array === 0 || !frozen)
        .map((range) => ({
          name: rename(range.name),
          shape: range.shape,
          data: expertFile.floatsOf(place, array, range),
        })),
    );
  return {
    values: stored(0, (name) => name),
    moments: [...stored(1, (name) => momentName('m', name)), ...stored(2, (name) => momentName('v', name))],
  };
}

function expertUpdates({ config, model }: TrainState): NamedTensor[] {
  if (config.train.expertUpdate === 'dense') return [];
  return vectors([...model.expertUpdates].map(([experts, updatesE]) => [updatesName(experts), updatesE]));
}

function vectors(named: Iterable<readonly [name: string, values: Float32Array]>): NamedTensor[] {
  return [...named].map(([name, data]) => ({ name, shape: [data.length], data }));
}

function named(
  ranges: readonly ParameterRange[],
  flat: Float32Array,
  rename: (name: string) => string = (name) => name,
): NamedTensor[] {
  return ranges.map(({ name, shape, begin, end }) => ({
    name: rename(name),
    shape,
    data: flat.subarray(begin, end),
  }));
}

function moments(ranges: readonly ParameterRange[], { m, v }: ParameterGroup): NamedTensor[] {
  return [
    ...named(ranges, m, (name) => momentName('m', name)),
    ...named(ranges, v, (name) => momentName('v', name)),
  ];
}

/** Returns a checksum of the shared parameters, which must be equal on all ranks. */
export function crc32OfShared({ model }: TrainState): number {
  model.parameters.onDevice?.read();
  const { values } = model.parameters.shared;
  return crc32(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
}
