/**
 * Operations for a custom router (`moe.router: ./my-router.mjs`). Such a file imports only from here, and its default
 * export is what `defineRouter` returns; docs/extending.md has an example.
 *
 * @module locmoe/routing
 */
import { tf } from '../ops/tensorflow.js';

export { z } from 'zod';
export {
  add,
  cosine,
  divide,
  exp,
  grouped,
  groupedCosine,
  linear,
  multiply,
  ofId,
  parameter,
  relu,
  type ShortRule,
  sigmoid,
  softmax,
  subtract,
  tanh,
  top,
  topOfGroups,
  topP,
} from '../architecture/build-rule.js';
export type { Choice, Rule, Scores } from '../architecture/rule.js';
export { gatherRows } from '../ops/operations.js';
export { tf } from '../ops/tensorflow.js';
export type { ParameterSpec } from '../parameters/parameters.js';
export { classicCapacity } from './capacity/capacity.js';
export { classicFit, type FirstFit, firstFit } from './capacity/first-fit.js';
export { countBytes, gatherCounts } from './capacity/gather-counts.js';
export { denseGateCosines, denseGateLogits, denseGateSpecs } from './gates/dense-gate.js';
export { controlled, type GateControl } from './gates/gate-control.js';
export { heldExperts } from './groups/domain-groups.js';
export { balanceLoss } from './losses/balance-loss.js';
export { defineRouter, type LossInput, type RouterParameter, type RouterPolicy } from './policy.js';
export type { Router, RouterContext, RouterInput, RoutingDecision } from './router.js';
/** The built-in routers, for routers that wrap one of them. */
export * as routers from './routers/routers.js';
export { cosineOfChoices, keepToGroup } from './rules/group-choice.js';

/**
 * Computes a tensor and returns its elements; frees it and all intermediates.
 *
 * Not `tf.tidy(() => tensor.dataSync())`: `tidy` searches its result for tensors, element by element.
 */
function readFloats(compute: () => tf.Tensor): Float32Array {
  const tensor = tf.tidy(compute);
  // A copy, because what `dataSync` returns may be memory that is used again once the tensor is freed.
  const values = tensor.dataSync<'float32'>().slice();
  tensor.dispose();
  return values;
}

export { readFloats };
