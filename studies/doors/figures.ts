import type { MeasurePart } from '../kit/parts.js';

/** Figures by name, as report.md explains them. */
export const FIGURES = [
  ...(['prepareMBPerS', 'preparePeakMemoryMB', 'generateTokensPerS', 'generateSpeedupByCache'] as const),
  ...(['apiConcurrentClients', 'onnxMaxLogitDifference', 'webTokensPerS', 'packageInstallS'] as const),
];
type Figure = (typeof FIGURES)[number];

/** Costs of preparing text and of exporting models; MB are 10^6 bytes, and a figure is null where it was not measured. */
export type Figures = Readonly<Record<Figure, number | null>> & {
  /** Commands that print them, by figure. */
  readonly commands: Partial<Readonly<Record<Figure, string>>>;
  readonly notes: Readonly<Record<string, string>>;
};

interface Result {
  readonly figures: Partial<Readonly<Record<Figure, number>>>;
  /** Settings and sizes that the figures depend on, in one or two sentences of Markdown. */
  readonly notes: string;
}

export type DoorPart = MeasurePart<Result>;
