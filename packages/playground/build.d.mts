/** Builds the page into a folder, which is made if it is not there; it then needs texts as samples.json. */
export function buildPlayground(folder: string): Promise<void>;
