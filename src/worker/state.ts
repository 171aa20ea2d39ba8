import { type Checkpoint, momentName, type NamedTensor, type RankTensors } from '../checkpoint/index.js';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';
import { PanguSigma, type ParameterGroup, replicasOfRank } from '../model/index.js';
import type { OptimizerGroup } from './optimizer.js';
import type { TrainState } from './train-step.js';

/** A fresh model with its optimizer, or that of a checkpoint; the layout that wrote the checkpoint does not matter. */
export function createTrainState(
  config: RunConfig,
  transport: Transport,
  checkpoint: Checkpoint | null,
): TrainState {
  const { rank, worldSize } = transport.topology;
  const model = new PanguSigma(config, transport);
  const state: TrainState = {
    config,
    transport,
    model,
    shared: optimizerGroup(model.parameters.shared),
    expert: optimizerGroup(model.parameters.expert),
    replicas: replicasOfRank(config.moe.numExperts, worldSize, rank),
  };
  if (checkpoint !== null) {
    loadModel(model, checkpoint);
    loadMoments(state, checkpoint);
  }
  return state;
}

function optimizerGroup(group: ParameterGroup): OptimizerGroup {
  const { values, gradients, ranges } = group;
  return {
    values,
    gradients,
    ranges,
    m: new Float32Array(values.length),
    v: new Float32Array(values.length),
  };
}

/** Fills a model's parameters and its routers' state from a checkpoint. */
export function loadModel(model: PanguSigma, checkpoint: Checkpoint): void {
  const { parameters } = model;
  for (const group of [parameters.shared, parameters.expert])
    for (const { name, shape, begin } of group.ranges) group.values.set(checkpoint.read(name, shape), begin);
  parameters.pushValues();
  for (const [name, values] of model.routerState) values.set(checkpoint.read(name, [values.length]));
}

function loadMoments({ model, shared, expert }: TrainState, checkpoint: Checkpoint): void {
  for (const [ranges, group] of [
    [model.parameters.shared.ranges, shared],
    [model.parameters.expert.ranges, expert],
  ] as const)
    for (const { name, shape, begin } of ranges) {
      group.m.set(checkpoint.read(momentName('m', name), shape), begin);
      group.v.set(checkpoint.read(momentName('v', name), shape), begin);
    }
}

/** What this rank writes into a checkpoint: rank 0 the shared parameters, the first replica its experts. */
export function tensorsToSave(state: TrainState): RankTensors {
  const { rank } = state.transport.topology;
  const { shared, expert } = state.model.parameters;
  const writesShared = rank === 0;
  const writesExperts = rank === state.replicas[0];
  return {
    shared: writesShared ? named(shared, shared.values) : [],
    optimizerShared: writesShared ? moments(shared, state.shared) : [],
    state: writesShared ? routerState(state.model) : [],
    experts: writesExperts ? named(expert, expert.values) : [],
    optimizerExperts: writesExperts ? moments(expert, state.expert) : [],
  };
}

function routerState(model: PanguSigma): NamedTensor[] {
  return [...model.routerState].map(([name, data]) => ({ name, shape: [data.length], data }));
}

function named(
  group: ParameterGroup,
  flat: Float32Array,
  rename: (name: string) => string = (name) => name,
): NamedTensor[] {
  return group.ranges.map(({ name, shape, begin, end }) => ({
    name: rename(name),
    shape,
    data: flat.subarray(begin, end),
  }));
}

function moments(group: ParameterGroup, { m, v }: OptimizerGroup): NamedTensor[] {
  return [
    ...named(group, m, (name) => momentName('m', name)),
    ...named(group, v, (name) => momentName('v', name)),
  ];
}
