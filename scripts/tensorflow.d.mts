export function hasTensorFlow(): boolean;
export function probeTensorFlow(): {
  readonly version: string | null;
  readonly isPinned: boolean;
  readonly why: string;
  readonly file: string;
};
export function setupTensorFlow(log: (line: string) => void): Promise<void>;
