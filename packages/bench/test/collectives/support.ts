import type { Collective } from '../../src/collectives/cases.js';
import type {
  ExchangeRow,
  Measurements,
  StreamName,
  StreamRow,
  System,
} from '../../src/collectives/measurements.js';

/** A measurement with an invented time. */
export function row(
  system: System,
  collective: Collective,
  layout: string,
  bytes: number,
  ms: number,
): ExchangeRow {
  const numRanks = layout.includes('x')
    ? layout.split('x').reduce((all, each) => all * Number(each), 1)
    : Number.parseInt(layout, 10);
  return {
    system,
    collective,
    layout,
    bytes,
    numRanks,
    ms: { median: ms, p10: ms * 0.9, p90: ms * 1.1 },
    repetitions: 10,
    busGbPerS: 1,
    setting: system === 'locmoe' ? null : '--bind-to none',
    agents:
      system === 'locmoe'
        ? {
            cpuS: 1.5,
            bytesOtherNode: 3e9,
            peakBytes: 200 << 20,
            startBytes: 80 << 20,
            segmentBytes: 8 << 20,
          }
        : null,
  };
}

export function stream(what: StreamName, mbPerS: number): StreamRow {
  return { what, mbPerS: { median: mbPerS, p10: mbPerS, p90: mbPerS }, repetitions: 8 };
}

export const NOTHING: Measurements = {
  exchanges: [],
  hierarchy: [],
  streams: [],
  overlap: [],
  notes: [],
};
