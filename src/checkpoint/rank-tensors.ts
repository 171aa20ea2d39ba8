import type { FileFloats } from './floats.js';

/** A parameter, moment or other state under its global name. */
export interface NamedTensor<Data extends Float32Array | FileFloats = Float32Array> {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Data;
}

/** A tensor to save, from memory or from a file. */
export type SavedTensor = NamedTensor<Float32Array | FileFloats>;

/** Returns the name of Adam's first (`m`) or second (`v`) moment of a parameter. */
export function momentName(moment: 'm' | 'v', parameter: string): string {
  return `adam.${moment}.${parameter}`;
}

/** Returns the name of the update counts of a sparse layer's experts, under `train.expertUpdate: touched`. */
export function updatesName(experts: string): string {
  return `adam.updates.${experts}`;
}

/** One rank's part of a checkpoint; exactly one rank of the world contributes each tensor. */
export interface RankTensors {
  /** Shared parameters and their moments on rank 0; empty on all others. */
  readonly shared: readonly SavedTensor[];
  readonly optimizerShared: readonly SavedTensor[];
  /** Other state that is equal on all ranks, such as the routers', on rank 0; empty on all others. */
  readonly state: readonly SavedTensor[];
  /** Expert parameters and their moments; a replicated expert's are only on the lowest rank that owns it. */
  readonly experts: readonly SavedTensor[];
  readonly optimizerExperts: readonly SavedTensor[];
}

/** Changes the tensors of each part, in the order of `RankTensors`. */
export function mapTensors(
  { shared, optimizerShared, state, experts, optimizerExperts }: RankTensors,
  change: (tensor: SavedTensor) => SavedTensor,
): RankTensors {
  return {
    shared: shared.map(change),
    optimizerShared: optimizerShared.map(change),
    state: state.map(change),
    experts: experts.map(change),
    optimizerExperts: optimizerExperts.map(change),
  };
}

/** Returns the bytes that the tensors take in the files of a checkpoint, without the files' headers. */
export function bytesOfTensors(tensors: RankTensors): number {
  return Object.values(tensors)
    .flat()
    .reduce((sum, { data }) => sum + data.byteLength, 0);
}
