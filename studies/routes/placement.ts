import path from 'node:path';
import type { PartPlace } from '../kit/parts.js';
import { jsonOf } from './json-of.js';

/** A prediction and the measured value; `error` is predicted over measured, minus one. */
interface Checked {
  readonly predicted: number;
  readonly measured: number;
  readonly error: number;
}

type Checks = Readonly<Record<'contiguous' | 'placed', Checked>>;

/** One router on one layout, in the form that `locmoe bench place` prints. */
export interface Placed {
  readonly layout: string;
  readonly router: string;
  readonly report: {
    /** Cost relative to its lower bound, minus one. */
    readonly gap: number;
    readonly random: { readonly bytesOtherNode: number };
  };
  readonly bytesOtherNode: Checks;
  readonly stepMs: Checks;
}

export async function measurePlacement({ quick, workDir, dataDir, signal }: PartPlace): Promise<Placed[]> {
  const less = quick ? ['--layouts', '2x2', '--only', 'switch', '--steps', '12'] : [];
  const folders = ['--work-dir', path.join(workDir, 'runs'), '--out', workDir, '--data-dir', dataDir];
  const { checks } = await jsonOf<{ readonly checks: Placed[] }>(
    ['bench', 'place', ...less, ...folders, '--json'],
    signal,
  );
  return checks;
}
