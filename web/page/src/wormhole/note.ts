/** What one side told the other. */
export interface Note {
  readonly id: string;
  readonly mine: boolean;
  readonly text: string;
  /**
   * kept: the other side is not there yet; sending: on its way to the server; sent: in the mailbox; read: the other side has it;
   * refused: the other side will not have it. Those of the other side are read.
   */
  readonly state: 'kept' | 'sending' | 'sent' | 'read' | 'refused';
}
