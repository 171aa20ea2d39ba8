import { afterEach, describe, expect, it, vi } from 'vitest';
import { clock } from '../../../src/cli/doctor/checks.js';

afterEach(() => void vi.restoreAllMocks());

/** Ten before each pause, and ten after it. */
const READINGS_IN_WINDOW = 20;

interface Disturbance {
  /** Milliseconds by which the wall clock is set forward after this reading of it. */
  setForward?: (reading: number) => number;
  /** Milliseconds for which the process is held up after this reading of the monotonic clock. */
  holdUp?: (reading: number) => number;
}

/** Neither clock is the machine's, whose other processes would make the outcome one of chance. */
function mockClocks({ setForward = () => 0, holdUp = () => 0 }: Disturbance): void {
  let [now, ahead, wallReading, monotonicReading] = [0, 0, 0, 0];
  vi.spyOn(Date, 'now').mockImplementation(() => {
    const wall = Math.floor(now) + ahead;
    ahead += setForward(wallReading++);
    return wall;
  });
  vi.spyOn(performance, 'now').mockImplementation(() => {
    const monotonic = now;
    now += 0.001 + holdUp(monotonicReading++);
    return monotonic;
  });
}

describe('the check of the clock', () => {
  it('finds nothing wrong with a clock that was set once', async () => {
    mockClocks({ setForward: (reading) => (reading === 9 ? 1_000 : 0) });
    expect((await clock()).state).toBe('ok');
  });

  it('finds nothing wrong where other processes hold it up between readings', async () => {
    // It is held up in three of four pairs, before or after the wall clock is read.
    mockClocks({ holdUp: (reading) => (reading % 8 < 3 ? 100 : 0) });
    expect((await clock()).state).toBe('ok');
  });

  it('warns of a clock that something goes on setting', async () => {
    mockClocks({ setForward: (reading) => (reading % READINGS_IN_WINDOW === 9 ? 1_000 : 0) });
    expect(await clock()).toMatchObject({ state: 'bad', advice: expect.stringContaining('NTP') });
  });
});
