import type { Command } from 'commander';

/** The studies by name, in the order of the help; loaded on demand, since some load TensorFlow. */
export const STUDIES: Readonly<Record<string, () => Promise<{ readonly default: Command }>>> = {
  collectives: () => import('./collectives/study.js'),
  plan: () => import('./plan/study.js'),
  recovery: () => import('./recovery/study.js'),
  gates: () => import('./gates/study.js'),
  step: () => import('./step/study.js'),
};
