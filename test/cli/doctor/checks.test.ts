import { afterEach, describe, expect, it, vi } from 'vitest';
import { clock } from '../../../src/cli/doctor/checks.js';

afterEach(() => void vi.restoreAllMocks());

const read = { wall: Date.now.bind(Date), monotonic: performance.now.bind(performance) };

/** Sets the wall clock forward by a second after each of the given readings. */
function setAfter(isSet: (reading: number) => boolean): void {
  let [reading, ahead] = [0, 0];
  vi.spyOn(Date, 'now').mockImplementation(() => {
    const time = read.wall() + ahead;
    if (isSet(reading++)) ahead += 1_000;
    return time;
  });
}

describe('the check of the clock', () => {
  it('finds nothing wrong with a clock that was set once', async () => {
    setAfter((reading) => reading === 15);
    expect((await clock()).state).toBe('ok');
  });

  it('finds nothing wrong where other processes hold it up between readings', async () => {
    let [reading, late] = [0, 0];
    vi.spyOn(Date, 'now').mockImplementation(() => read.wall() + late);
    vi.spyOn(performance, 'now').mockImplementation(() => {
      const time = read.monotonic() + late;
      // It is held up in three of four pairs, before or after the wall clock is read.
      if (reading++ % 8 < 3) late += 100;
      return time;
    });
    expect((await clock()).state).toBe('ok');
  });

  it('warns of a clock that something goes on setting', async () => {
    setAfter((reading) => reading % 15 === 0);
    expect(await clock()).toMatchObject({ state: 'bad', advice: expect.stringContaining('NTP') });
  });
});
