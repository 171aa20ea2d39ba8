/**
 * The public names of locmoe. Importing them loads neither TensorFlow nor gRPC; each function loads what it needs.
 * `locmoe/routing` has the operations for custom routers. Everything below `locmoe/internal` changes without notice.
 *
 * @module locmoe
 */

// Names for users: train, use what was trained, and read what was recorded.

export type { FailureReport, GlobalLayer, GlobalStep } from '@locmoe/run-format';
export type { RunConfig } from '../config/schema.js';
export type { PrepareProgress } from '../data/prepare/progress-meter.js';
export type { Message } from '../data/template.js';
export { ERROR_CODES, type ErrorCode, TrainerError } from '../errors.js';
export type { DomainLoss } from '../rpc/generated/messages.js';
export { VERSION } from '../rpc/version.js';
export { loadConfig, recipeNames } from './config.js';
export { type EvaluateOptions, type GenerateOptions, loadModel, type Model } from './model.js';
export { listRuns, openRun, type Run } from './run.js';
export { type PreparedDomain, type PreparedText, type PrepareOptions, prepareText } from './text.js';
export { type Training, train } from './train.js';
export type { TrainingEvent, TrainingResult, TrainOptions } from './training.js';

// Names for extensions: the types of a custom router (`moe.router: ./my-router.mjs`).

export { defineRouter, type RouterPolicy } from '../routing/policy.js';
export type { Router, RouterContext, RouterInput, RoutingDecision } from '../routing/router.js';
export type { RouterPrice } from '../routing/rule-price.js';
