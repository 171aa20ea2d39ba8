import { describe, expect, it } from 'vitest';
import { formatLink, parseLink } from '../../src/plan/link.js';

describe('parseLink', () => {
  it.each([
    ['100gbps,5us', 12.5e9, 5e-6],
    ['1.5tbps,250ns', 187.5e9, 250e-9],
    ['10Mbps, 20ms', 1.25e6, 0.02],
    ['64kbps,0ns', 8e3, 0],
  ])('reads %s', (text, bytesPerS, latencyS) => {
    const link = parseLink(text);
    expect(link.bytesPerS).toBeCloseTo(bytesPerS, 6);
    expect(link.latencyS).toBeCloseTo(latencyS, 15);
    expect(parseLink(formatLink(link))).toEqual(link);
  });

  it.each([
    ['100gbps', '1 part instead of two'],
    ['100gb,5us', "'100gb' is no rate above zero in kbps, mbps, gbps, tbps"],
    ['0gbps,5us', "'0gbps' is no rate above zero"],
    ['100gbps,5', "'5' is no latency in ns, us, ms, s"],
    ['100gbps,5minutes', "'5minutes' is no latency"],
    ['100toString,5us', "'100tostring' is no rate"],
  ])('refuses %j', (text, reason) => {
    expect(() => parseLink(text)).toThrow(`--link ${text}: ${reason}`);
    expect(() => parseLink(text)).toThrow('write rate and latency as in 100gbps,5us');
  });
});
