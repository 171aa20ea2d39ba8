import { describe, expect, it } from 'vitest';
import { lingerSeconds } from '../../src/cli/linger.js';

const FREE_PORT = '127.0.0.1:0';
const FIXED_PORT = '127.0.0.1:9464';
const FAILED = { kind: 'failed' } as const;
const FINISHED = { kind: 'finished' } as const;

describe('a process serves how its run ended', () => {
  it('to Prometheus, where that asks or may ask', () => {
    const [onTerminal, scraped] = [true, true];
    expect(lingerSeconds({ http: FIXED_PORT }, FAILED, !scraped, !onTerminal)).toBe(120);
    expect(lingerSeconds({ http: FIXED_PORT }, FINISHED, !scraped, !onTerminal)).toBe(120);
    expect(lingerSeconds({ http: FREE_PORT }, FAILED, !scraped, !onTerminal)).toBe(0);
    expect(lingerSeconds({ http: FREE_PORT }, FAILED, scraped, !onTerminal)).toBe(120);
    expect(lingerSeconds({ http: FIXED_PORT }, FAILED, !scraped, onTerminal)).toBe(0);
    expect(lingerSeconds({ http: FIXED_PORT }, FAILED, scraped, onTerminal)).toBe(120);
  });

  it('for as long as it is told', () => {
    expect(lingerSeconds({ http: FREE_PORT, linger: 7 }, FINISHED, false, true)).toBe(7);
    expect(lingerSeconds({ http: FIXED_PORT, linger: 0 }, FAILED, true, false)).toBe(0);
    expect(lingerSeconds({ http: FREE_PORT, linger: true }, FAILED, false, true)).toBe(Infinity);
    expect(lingerSeconds({ http: false, linger: 7 }, FAILED, false, false)).toBe(0);
  });

  it('but not where another process takes over: a failed run goes on at once', () => {
    const supervised = { http: FIXED_PORT, linger: 20, resumeOrStart: true };
    expect(lingerSeconds(supervised, FAILED, true, false)).toBe(0);
    expect(lingerSeconds(supervised, FINISHED, true, false)).toBe(20);
  });
});
