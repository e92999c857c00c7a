/** What is offered when the model's context is full. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { TextButton } from './buttons';

export interface IMakeRoomProps {
  trans: TranslationBundle;
  /** there is something to sum up, and nothing runs */
  canCompact: boolean;
  compact(): Promise<void>;
  newFromSummary(): Promise<void>;
  /** before either */
  close?(): void;
}

/** *Compact* and *New conversation from summary*, with the words of what they do. */
export function MakeRoom(props: IMakeRoomProps): JSX.Element | null {
  const { trans, canCompact, compact, newFromSummary, close } = props;
  if (!canCompact) {
    return null;
  }
  const act = (what: () => Promise<void>) => (): void => {
    close?.();
    void what();
  };
  return (
    <div className="jp-Cellar-makeRoom">
      <TextButton
        label={trans.__('Compact')}
        title={trans.__(
          'Sum up the earlier turns; the model then reads the summary in their place'
        )}
        act={act(compact)}
      />
      <TextButton
        label={trans.__('New conversation from summary')}
        title={trans.__(
          'Sum up this conversation and go on in a new one; this one stays as it is'
        )}
        act={act(newFromSummary)}
      />
    </div>
  );
}
