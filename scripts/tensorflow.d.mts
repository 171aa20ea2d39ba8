import type { Log } from './progress.d.mts';

/** The folder in whose node_modules TensorFlow is or will be installed. */
export function tensorFlowFolder(): string;
export function hasTensorFlow(): boolean;
export function probeTensorFlow(): {
  readonly version: string | null;
  readonly isPinned: boolean;
  readonly why: string;
  readonly file: string;
};
export function setupTensorFlow(log: Log): Promise<void>;
