import type { MeasurePart } from '../kit/measure-each.js';

export const LABELS = {
  prepareMBPerS: 'text prepared, MB/s',
  preparePeakMemoryMB: 'memory at its peak meanwhile, MB',
  generateTokensPerS: '`locmoe generate`, tokens/s',
  generateSpeedupByCache: 'speed by the key/value cache, times that without',
  apiConcurrentClients: '`locmoe api`, clients served at once',
  onnxMaxLogitDifference: 'ONNX, greatest difference of a logit',
  webTokensPerS: 'in the browser, tokens/s',
  packageInstallS: 'from the package to a training, s',
} as const;
type Figure = keyof typeof LABELS;
export const FIGURES = Object.keys(LABELS) as Figure[];

/** Costs of preparing text and of exporting models; MB are 10^6 bytes, and a figure is null where it was not measured. */
export type Figures = Readonly<Record<Figure, number | null>> & {
  /** Commands that print them, by figure. */
  readonly commands: Partial<Readonly<Record<Figure, string>>>;
  /** Notes by part. */
  readonly notes: Readonly<Record<string, string>>;
};

interface Result {
  readonly figures: Partial<Readonly<Record<Figure, number>>>;
  /** Settings and sizes that the figures depend on, in one or two sentences of Markdown. */
  readonly notes: string;
}

export type DoorPart = MeasurePart<Result>;
