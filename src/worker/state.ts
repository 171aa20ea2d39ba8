import { type Checkpoint, momentName, type NamedTensor, type RankTensors } from '../checkpoint/index.js';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';
import { PanguSigma, type ParameterGroup, replicasOfRank } from '../model/index.js';
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
    replicas: replicasOfRank(config.moe.numExperts, worldSize, rank),
  };
  if (checkpoint !== null) {
    loadModel(model, checkpoint);
    loadMoments(model, checkpoint);
  }
  return state;
}

/** Fills a model's parameters and its routers' state from a checkpoint. */
export function loadModel(model: PanguSigma, checkpoint: Checkpoint): void {
  const { parameters } = model;
  for (const group of [parameters.shared, parameters.expert])
    for (const { name, shape, begin } of group.ranges) group.values.set(checkpoint.read(name, shape), begin);
  parameters.pushValues();
  for (const [name, values] of model.routerState) values.set(checkpoint.read(name, [values.length]));
}

function loadMoments({ parameters }: PanguSigma, checkpoint: Checkpoint): void {
  for (const { ranges, m, v } of [parameters.shared, parameters.expert])
    for (const { name, shape, begin } of ranges) {
      m.set(checkpoint.read(momentName('m', name), shape), begin);
      v.set(checkpoint.read(momentName('v', name), shape), begin);
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
    optimizerShared: writesShared ? moments(shared) : [],
    state: writesShared ? routerState(state.model) : [],
    experts: writesExperts ? named(expert, expert.values) : [],
    optimizerExperts: writesExperts ? moments(expert) : [],
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

function moments(group: ParameterGroup): NamedTensor[] {
  return [
    ...named(group, group.m, (name) => momentName('m', name)),
    ...named(group, group.v, (name) => momentName('v', name)),
  ];
}
