import path from 'node:path';
import type { ConfigSource } from './document.js';
import { fieldOf, isMapping, withFields } from './fields.js';

interface NamedSources {
  /** The configuration with only names in `data.domains` and each name's files in `data.sources`. */
  readonly value: unknown;
  /** Returns the path at which the user wrote the value that is at a path of `value`. */
  writtenAt(field: readonly PropertyKey[]): readonly PropertyKey[];
}

/**
 * Moves the files of `data.domains: [en, docs: { files }]` to `data.sources.docs`, where checkpoints keep
 * them, and makes their folders absolute, so that a run that is resumed elsewhere finds them. An override of
 * `data.sources.docs` takes precedence over both.
 *
 * @param base folder of the configuration file; a path given by `--set` is relative to the working folder
 */
export function nameSources(source: ConfigSource, base: string): NamedSources {
  const data = fieldOf(source.value, 'data');
  const written = fieldOf(data, 'domains');
  const places = new Map<
    string,
    { readonly place: readonly PropertyKey[]; readonly set: ReadonlySet<string> }
  >();
  const sources = new Map<string, unknown>();
  const isSet = (name: string, field: string) => source.isOverridden(['data', 'sources', name, field]);
  for (const [name, files] of entriesOf(fieldOf(data, 'sources'))) sources.set(name, files);
  const domains = !Array.isArray(written)
    ? written
    : written.flatMap((domain: unknown, i) => {
        const entries = entriesOf(domain);
        for (const [name, files] of entries) {
          const set = entriesOf(sources.get(name)).filter(([field]) => isSet(name, field));
          places.set(name, {
            place: ['data', 'domains', i, name],
            set: new Set(set.map(([field]) => field)),
          });
          sources.set(name, isMapping(files) ? { ...files, ...Object.fromEntries(set) } : files);
        }
        return entries.length === 0 ? [domain] : entries.map(([name]) => name);
      });
  if (sources.size === 0) return { value: source.value, writtenAt: (field) => field };
  const writtenAt = (field: readonly PropertyKey[]) => {
    const [section, list, name, ...rest] = field;
    const written = section === 'data' && list === 'sources' ? places.get(String(name)) : undefined;
    return written === undefined || written.set.has(String(rest[0])) ? field : [...written.place, ...rest];
  };
  const resolved = Array.from(sources, ([name, files]) => {
    const given = fieldOf(files, 'folder');
    const field = given === undefined ? 'files' : 'folder';
    const from = source.isOverridden(writtenAt(['data', 'sources', name, field])) ? process.cwd() : base;
    return [name, withFolder(files, from)];
  });
  return {
    value: withFields(source.value, 'data', { domains, sources: Object.fromEntries(resolved) }),
    writtenAt,
  };
}

function withFolder(files: unknown, base: string): unknown {
  const folder = fieldOf(files, 'folder') ?? '.';
  return isMapping(files) && typeof folder === 'string'
    ? { ...files, folder: path.resolve(base, folder) }
    : files;
}

function entriesOf(value: unknown): [string, unknown][] {
  return isMapping(value) ? Object.entries(value) : [];
}
