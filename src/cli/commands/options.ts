import { type Command, InvalidArgumentError, Option } from 'commander';
import { MAX_COUNT } from '../../numeric-bounds.js';

/** Longest wait in seconds, as Node's timers hold 24 days. */
export const MAX_WAIT_S = 2_000_000;

/** Parses an option that takes a whole number from `least` to `most`. */
export function wholeNumber(least: number, most = MAX_COUNT): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`expected a whole number of at least ${least} and at most ${most}.`);
    return value;
  };
}

/** Parses a finite number from `least` to `most`. */
export function numberFrom(least: number, most = Number.MAX_VALUE): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= least && value <= most))
      throw new InvalidArgumentError(`expected a number of at least ${least}${upTo(most)}.`);
    return value;
  };
}

/** Parses a number above 0, and at most `most`. */
export function positiveUpTo(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value > 0 && value <= most))
      throw new InvalidArgumentError(`expected a number above 0${upTo(most)}.`);
    return value;
  };
}

function upTo(most: number): string {
  return most < Number.MAX_VALUE ? ` and at most ${most}` : '';
}

/** Collects a repeatable option. */
export function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}

/** Collects a repeatable option whose words are separated by commas. */
export function collectWords(words: string, previous: readonly string[]): string[] {
  return [...previous, ...words.split(',')];
}

export function typedCommand(): string {
  return ['locmoe', ...process.argv.slice(2)].join(' ');
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

/** Parses `20s`, `5m`, `2h`, `1d` as seconds. */
export function durationS(text: string): number {
  const [, count, unit = ''] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const seconds = (Number(count) * (UNIT_MS[unit] ?? Number.NaN)) / 1000;
  if (!(seconds > 0 && seconds <= MAX_WAIT_S))
    throw new InvalidArgumentError('expected a duration such as 20s, 5m, 2h, 1d; at most 23d.');
  return seconds;
}

/** Parses `90s`, `5m`, `2h`, `1d` (ago) or an ISO time that is past; returns ms since 1970. */
export function parseSince(text: string): number {
  const ago = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text);
  const timeMs = ago ? Date.now() - Number(ago[1]) * UNIT_MS[ago[2]!]! : Date.parse(text);
  // Date.parse accepts more than ISO times: it reads 40 as a year.
  if (!(timeMs <= Date.now()) || !(ago || /^\d{4}-\d\d-\d\d/.test(text)))
    throw new InvalidArgumentError(
      'expected a duration such as 90s, 5m, 2h, 1d, or an ISO time that is past.',
    );
  return timeMs;
}

export function addSecurityOptions(command: Command, { listens }: { readonly listens: boolean }): Command {
  command
    .addOption(
      new Option(
        '--tls <dir>',
        'mutual TLS with ca.pem, cert.pem and key.pem of this folder (locmoe certs)',
      ).env('LOCMOE_TLS_DIR'),
    )
    .addOption(
      new Option('--token-file <file>', 'file with the join token of the cluster (locmoe certs)').env(
        'LOCMOE_TOKEN_FILE',
      ),
    );
  return listens
    ? command.option('--insecure', 'listen beyond loopback in plain text; a join token is still required')
    : command;
}
