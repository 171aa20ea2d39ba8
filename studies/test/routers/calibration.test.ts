import { describe, expect, it } from 'vitest';
import { calibrate, type InterNodeLink, PAPER_SHARE } from '../../routers/calibration.js';

/** A step with 100 ms of compute, `base` ms of all-to-all and `perGbps` / gbps ms on the link. */
const cluster = (base: number, perGbps: number, tried: InterNodeLink[]) => (link: InterNodeLink) => {
  tried.push(link);
  const ms = base + (link === null ? 0 : perGbps / link.gbps);
  return Promise.resolve(ms / (100 + ms));
};

describe('calibrate', () => {
  it.each([
    [2, 5],
    [10, 0.7],
    [15, 60],
    [20, 0.05],
  ])('finds a link for %d ms without a limit and %d ms for one Gb/s', async (base, perGbps) => {
    const tried: InterNodeLink[] = [];
    const calibration = await calibrate(cluster(base, perGbps, tried));
    expect(calibration.share).toBeGreaterThan(PAPER_SHARE.least);
    expect(calibration.share).toBeLessThan(PAPER_SHARE.most);
    expect(calibration.trials.map(({ link }) => link)).toEqual(tried);
    expect(tried.length).toBeLessThanOrEqual(6);
  });

  it('sets no limit where all-to-all takes more than enough without one', async () => {
    const tried: InterNodeLink[] = [];
    const calibration = await calibrate(cluster(50, 5, tried));
    expect(calibration).toMatchObject({ link: null, share: 50 / 150 });
    expect(tried).toEqual([null]);
  });
});
