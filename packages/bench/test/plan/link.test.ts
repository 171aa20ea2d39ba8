import { describe, expect, it } from 'vitest';
import { formatLink, parseLink } from '../../src/plan/link.js';

describe('parseLink', () => {
  it.each([
    ['100gbps,5us', 12.5e9, 5e-6],
    ['1.5tbps,250ns', 187.5e9, 250e-9],
    ['10Mbps, 20ms', 1.25e6, 0.02],
    ['64kbps,0s', 8e3, 0],
  ])('reads %s', (text, bytesPerS, latencyS) => {
    const link = parseLink(text);
    expect(link.bytesPerS).toBeCloseTo(bytesPerS, 6);
    expect(link.latencyS).toBeCloseTo(latencyS, 15);
  });

  it.each([
    ['100gbps', '1 part instead of two'],
    ['100gbps,5us,1', '3 parts instead of two'],
    ['100gb,5us', "'100gb' is no rate above zero in kbps, mbps, gbps, tbps"],
    ['0gbps,5us', "'0gbps' is no rate above zero"],
    ['-1gbps,5us', "'-1gbps' is no rate"],
    ['100gbps,5', "'5' is no latency in ns, us, ms, s"],
    ['100gbps,5minutes', "'5minutes' is no latency"],
    ['5us,100gbps', "'5us' is no rate"],
    ['100toString,5us', "'100tostring' is no rate"],
    ['', '1 part instead of two'],
  ])('refuses %j', (text, reason) => {
    expect(() => parseLink(text)).toThrow(`--link ${text}: ${reason}`);
    expect(() => parseLink(text)).toThrow('write rate and latency as in 100gbps,5us');
  });
});

describe('formatLink', () => {
  it.each(['100gbps,5us', '1.5tbps,250ns', '64kbps,20ms'])('writes %s as it is read', (text) => {
    expect(formatLink(parseLink(text))).toBe(text);
  });

  it('writes no latency', () => {
    expect(formatLink(parseLink('1gbps,0us'))).toBe('1gbps,0ns');
  });
});
