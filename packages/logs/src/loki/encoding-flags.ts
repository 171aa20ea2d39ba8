/** The request header in which a client asks for another form of the answer. */
export const ENCODING_FLAGS = 'x-loki-response-encoding-flags';
/** Its value for labels by category: of the stream, structured metadata, parsed. */
export const CATEGORIZE_LABELS = 'categorize-labels';

/** @param flags the header */
export function isCategorized(flags: string | undefined): boolean {
  return flags?.split(',').includes(CATEGORIZE_LABELS) ?? false;
}
