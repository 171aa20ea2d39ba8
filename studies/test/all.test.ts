import { describe, expect, it } from 'vitest';
import { makeReports } from '../all/make-reports.js';

/** Makes three reports whose commands end with these codes. */
async function make(codes: Readonly<Record<string, number>>, only: readonly string[] = []) {
  const ran: string[] = [];
  const lines: string[] = [];
  const code = await makeReports({
    reports: { plan: ['bench', 'plan'], step: ['bench', 'step'], doors: ['bench', 'doors'] },
    only,
    run: ([, name]) => {
      ran.push(name);
      return Promise.resolve(codes[name] ?? 0);
    },
    log: (line) => lines.push(line),
  });
  return { code, ran, text: lines.join('\n') };
}

describe('makeReports', () => {
  it('makes one after the other, and says how long each took', async () => {
    const { code, ran, text } = await make({});
    expect(code).toBe(0);
    expect(ran).toEqual(['plan', 'step', 'doors']);
    expect(text).toMatch(/^ {2}step +made +0s$/m);
    expect(text).toMatch(/^ {2}all +0s$/m);
  });

  it('goes on after one that fails, and ends as a failure', async () => {
    const { code, ran, text } = await make({ plan: 2 });
    expect(code).toBe(3);
    expect(ran).toEqual(['plan', 'step', 'doors']);
    expect(text).toMatch(/^ {2}plan +failed with code 2 +0s$/m);
  });

  it('stops where one was interrupted', async () => {
    const { code, ran } = await make({ plan: 3, step: 130 });
    expect(code).toBe(130);
    expect(ran).toEqual(['plan', 'step']);
  });

  it('makes those that are named, in its own order, and refuses another name', async () => {
    expect((await make({}, ['doors', 'plan'])).ran).toEqual(['plan', 'doors']);
    await expect(make({}, ['dors'])).rejects.toThrow(
      '--only dors: no such report; reports are plan, step, doors',
    );
  });
});
