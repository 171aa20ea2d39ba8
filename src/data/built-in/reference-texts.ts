/**
 * Returns the synsets of a WordNet data file (`wndb(5WN)`), one per line: its words, a colon, and the gloss.
 * Neighbouring synsets are related in meaning, so the whole file is one text.
 */
export function glosses(data: string): string {
  return data
    .split('\n')
    .filter((line) => /^\d{8} /.test(line))
    .map((line) => {
      const bar = line.indexOf(' | ');
      const fields = line.slice(0, bar).split(' ');
      const numWords = Number.parseInt(fields[3]!, 16);
      const words = Array.from({ length: numWords }, (_, i) =>
        // Adjectives may end with a marker of their syntactic position, such as "(p)".
        fields[4 + 2 * i]!.replaceAll('_', ' ').replace(/\((?:a|p|ip)\)$/, ''),
      );
      return `${words.join(', ')}: ${line.slice(bar + 3).trim()}`;
    })
    .join('\n');
}

interface Poem {
  readonly title?: string;
  readonly rhythmic?: string;
  readonly chapter?: string;
  readonly author?: string;
  readonly paragraphs?: readonly string[];
  readonly content?: unknown;
}

/** Returns a JSON file's poems, each with title (or tune, or chapter) and author; leaves out entries without lines. */
export function poems(json: string): string[] {
  const parsed = JSON.parse(json) as Poem | readonly Poem[];
  return (Array.isArray(parsed) ? parsed : [parsed as Poem]).flatMap((poem: Poem) => {
    const lines = linesOf(poem.paragraphs ?? poem.content);
    const head = [poem.title ?? poem.rhythmic ?? poem.chapter, poem.author].filter((part) => part);
    return lines.length === 0 ? [] : [[...head, ...lines].join('\n')];
  });
}

/** Returns the lines of a work, which may have nested parts. */
function linesOf(value: unknown): string[] {
  if (typeof value === 'string') return value.trim() === '' ? [] : [value.trim()];
  if (Array.isArray(value)) return value.flatMap(linesOf);
  if (typeof value !== 'object' || value === null) return [];
  const { title, chapter, paragraphs, content } = value as Record<string, unknown>;
  return [title ?? chapter, paragraphs ?? content].flatMap(linesOf);
}
