/**
 * Operations for a custom router (`moe.router: ./my-router.mjs`). Such a file imports only from here, and its default
 * export is what `defineRouter` returns; docs/extending.md has an example.
 *
 * @module locmoe/routing
 */
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
export { readFloats } from '../ops/read-values.js';
export { tf } from '../ops/tensorflow.js';
export type { ParameterSpec } from '../parameters/parameters.js';
export { balanceLoss } from './balance-loss.js';
export { classicCapacity } from './capacity.js';
export { denseGateCosines, denseGateLogits, denseGateSpecs } from './dense-gate.js';
export { heldExperts } from './domain-groups.js';
export { classicFit, type FirstFit, firstFit } from './first-fit.js';
export { controlled, type GateControl } from './gate-control.js';
export { countBytes, gatherCounts } from './gather-counts.js';
export { argmaxOfRows, cosineOfChoices, keepToGroup } from './group-choice.js';
export { defineRouter, type LossInput, type RouterParameter, type RouterPolicy } from './policy.js';
export type { Router, RouterContext, RouterInput, RoutingDecision } from './router.js';
/** The built-in routers, for routers that wrap one of them. */
export * as routers from './routers.js';
