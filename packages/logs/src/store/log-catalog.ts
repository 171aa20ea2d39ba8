export interface LogFolder {
  readonly run: string;
  /** Folder with an NDJSON file for each source. */
  readonly directory: string;
  /** The label `service_name` of every line. */
  readonly service: string;
}

/** The runs whose logs are served. */
export interface LogCatalog {
  /** Called again for new queries, so that new runs appear. */
  runs(): readonly LogFolder[];
}
