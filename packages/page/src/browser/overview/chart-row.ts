/** A strip over x, with its label on the left and a note on the right. */
export interface ChartRow {
  readonly key: string;
  readonly label: string;
  readonly height: number;
  /** Dim text after the label. */
  readonly detail?: string;
  readonly note?: string;
  /** Whether the row caused a failure. */
  readonly isBlamed?: boolean;
  /** For a row that groups those below it: whether they are shown, which its button toggles. */
  readonly isOpen?: boolean;
}
