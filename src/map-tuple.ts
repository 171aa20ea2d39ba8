/** Maps a tuple as `map` does, but keeps its length in the type of the result. */
export function mapTuple<const T extends readonly unknown[], R>(
  tuple: T,
  map: (value: T[number], index: number) => R,
): { readonly [I in keyof T]: R } {
  return tuple.map(map) as { readonly [I in keyof T]: R };
}
