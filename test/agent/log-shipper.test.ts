import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogShipper } from '../../src/agent/log-shipper.js';

describe('LogShipper', () => {
  let batches: { lines: readonly string[]; dropped: number }[];
  let shipper: LogShipper;
  let ready: boolean;

  beforeEach(() => {
    vi.useFakeTimers();
    batches = [];
    ready = true;
    shipper = new LogShipper();
  });

  afterEach(() => {
    shipper.close();
    vi.useRealTimers();
  });

  const connect = () =>
    shipper.connect({ isReady: () => ready, send: (lines, dropped) => batches.push({ lines, dropped }) });

  it('sends what was logged before it was connected, in order', () => {
    shipper.push('a');
    shipper.push('b');
    connect();
    vi.advanceTimersByTime(100);
    expect(batches).toEqual([{ lines: ['a', 'b'], dropped: 0 }]);
  });

  it('lets lines of debug and trace wait for others, or half a second', () => {
    const line = (level: string) => `{"level":"${level}","time":1}`;
    connect();
    vi.advanceTimersByTime(500);
    shipper.push(line('debug'));
    vi.advanceTimersByTime(400);
    shipper.push(line('trace'));
    expect(batches).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(batches.map(({ lines }) => lines.length)).toEqual([2]);
    shipper.push(line('debug'));
    shipper.push(line('info'));
    shipper.push(line('debug'));
    vi.advanceTimersByTime(100);
    expect(batches.map(({ lines }) => lines.length)).toEqual([2, 3]);
    shipper.push(line('debug'));
    vi.advanceTimersByTime(400);
    expect(batches).toHaveLength(2);
    shipper.flush();
    expect(batches).toHaveLength(3);
  });

  it('keeps a batch of long lines small', () => {
    const lines = [3e6, 400_000, 400_000, 400_000, 1].map((length) => 'x'.repeat(length));
    connect();
    for (const line of lines) shipper.push(line);
    shipper.flush();
    expect(batches.map((batch) => batch.lines.length)).toEqual([1, 2, 2]);
    expect(batches.flatMap((batch) => batch.lines)).toEqual(lines);
  });

  it('keeps a bounded number of lines when nobody takes them, and counts the rest', () => {
    for (let i = 0; i < 10_250; i++) shipper.push(`line ${i}`);
    connect();
    shipper.flush();
    const lines = batches.flatMap((batch) => batch.lines);
    expect(lines).toHaveLength(10_000);
    expect(lines.at(-1)).toBe('line 9999');
    expect(batches.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(250);
    expect(Math.max(...batches.map((batch) => batch.lines.length))).toBeLessThanOrEqual(500);
  });

  it('keeps a bounded number of characters too, and has room again once they are sent', () => {
    const line = 'x'.repeat(1 << 20);
    connect();
    for (const kept of [16, 32]) {
      for (let i = 0; i < 20; i++) shipper.push(line);
      shipper.flush();
      expect(batches.flatMap(({ lines }) => lines)).toHaveLength(kept);
    }
    expect(batches.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(8);
  });

  it('holds lines back while the sink is not ready', () => {
    connect();
    ready = false;
    shipper.push('patient');
    vi.advanceTimersByTime(1_000);
    expect(batches).toEqual([]);
    ready = true;
    vi.advanceTimersByTime(100);
    expect(batches).toEqual([{ lines: ['patient'], dropped: 0 }]);
  });

  it('sends the last lines when it is closed', () => {
    connect();
    shipper.push('last words');
    shipper.close();
    expect(batches).toEqual([{ lines: ['last words'], dropped: 0 }]);
  });
});
