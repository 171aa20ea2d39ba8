/** Values of the label `level`. Other values are mapped to these by `levelOf`. */
export const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'unknown'] as const;
export type Level = (typeof LEVELS)[number];

const NAMES: Readonly<Record<string, Level>> = {
  emerg: 'fatal',
  fatal: 'fatal',
  alert: 'fatal',
  crit: 'fatal',
  critical: 'fatal',
  err: 'error',
  eror: 'error',
  error: 'error',
  warn: 'warn',
  warning: 'warn',
  info: 'info',
  information: 'info',
  informational: 'info',
  notice: 'info',
  dbug: 'debug',
  debug: 'debug',
  trace: 'trace',
};

export function levelOf(name: string | undefined): Level {
  return NAMES[(name ?? '').toLowerCase()] ?? 'unknown';
}

/** Returns the custom property of theme.css with the level's colour. */
export function levelVariable(level: Level): string {
  return `--level-${level}`;
}
