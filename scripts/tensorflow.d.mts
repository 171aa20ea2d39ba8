/** The folder whose node_modules have TensorFlow, or get it. */
export function tensorFlowFolder(): string;
export function hasTensorFlow(): boolean;
export function probeTensorFlow(): {
  readonly version: string | null;
  readonly isPinned: boolean;
  readonly why: string;
  readonly file: string;
};
export function setupTensorFlow(log: (line: string) => void): Promise<void>;
