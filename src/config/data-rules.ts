import { DOMAINS } from '../data/built-in/sources.js';
import { DOMAIN_NAME } from '../data/read/text-source.js';
import { unless } from '../routing/policy.js';
import { didYouMean } from './nearest.js';
import type { RunConfig } from './schema.js';

type DataRule = (sections: Pick<RunConfig, 'data'>) => ReturnType<typeof unless>;

/** Checks of the domains and their sources. */
export const DATA_RULES: readonly DataRule[] = [
  ({ data: { domains } }) =>
    unless(new Set(domains).size === domains.length, 'data.domains', 'a domain is listed twice'),
  ({ data: { domains, sources } }) => {
    const unknown = domains.filter((domain) => !DOMAINS.includes(domain) && !Object.hasOwn(sources, domain));
    return unless(unknown.length === 0, 'data.domains', describeUnknown(unknown));
  },
  ({ data: { sources } }) => {
    const unfit = Object.keys(sources).find((name) => !DOMAIN_NAME.test(name));
    return unless(
      unfit === undefined,
      'data.sources',
      `${JSON.stringify(unfit)} is no name: letters and digits, then also . _ -, at most 40 characters`,
    );
  },
  ({ data: { sources } }) => {
    const [name] =
      Object.entries(sources).find(
        ([, { format, separator }]) => separator !== undefined && (format ?? 'text') !== 'text',
      ) ?? [];
    return unless(name === undefined, `data.sources.${name}.separator`, 'is for format text alone');
  },
  ({ data: { sources } }) => {
    const [name] =
      Object.entries(sources).find(
        ([, { format, instruct }]) => instruct !== undefined && (format ?? 'jsonl') !== 'jsonl',
      ) ?? [];
    return unless(name === undefined, `data.sources.${name}.format`, 'of questions and answers is jsonl');
  },
  ({ data: { weights, domains } }) =>
    unless(
      weights === undefined || weights.length === domains.length,
      'data.weights',
      `${weights?.length} weights for ${domains.length} domains`,
    ),
  ({ data: { validationShare } }) =>
    unless(validationShare < 1, 'data.validationShare', 'must leave something to train on'),
];

function describeUnknown(domains: readonly string[]): string {
  const names = domains.map((domain) => JSON.stringify(domain)).join(', ');
  const hint = domains.some((domain) => /[./\\]/.test(domain))
    ? '; files of your own are a domain with a name: [docs: { files: "docs/**/*.md" }]'
    : domains.map((domain) => didYouMean(domain, DOMAINS)).join('');
  return `unknown domain ${names}; known domains are ${DOMAINS.join(', ')}${hint}`;
}
