import type { Command } from 'commander';

/** The studies by name, in the order of the help; loaded when called for, since some bring TensorFlow. */
export const STUDIES: Readonly<Record<string, () => Promise<{ readonly default: Command }>>> = {
  collectives: () => import('./collectives/study.js'),
  copies: () => import('./copies/study.js'),
  doors: () => import('./doors/study.js'),
  families: () => import('./families/study.js'),
  'fine-tuning': () => import('./fine-tuning/study.js'),
  inheritance: () => import('./inheritance/study.js'),
  observability: () => import('./observability/study.js'),
  plan: () => import('./plan/study.js'),
  precision: () => import('./precision/study.js'),
  recovery: () => import('./recovery/study.js'),
  routers: () => import('./routers/study.js'),
  routes: () => import('./routes/study.js'),
  step: () => import('./step/study.js'),
  storage: () => import('./storage/study.js'),
  streams: () => import('./streams/study.js'),
};
