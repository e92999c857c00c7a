/** Messages typed while an answer runs: listed, editable, removable, in order. */
import {
  deleteIcon,
  editIcon,
  runIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ITurn } from '../../wire/types';

export interface IPendingProps {
  trans: TranslationBundle;
  turns: readonly ITurn[];
  /** id of the turn that is being edited in the composer */
  editing: string | null;
  edit(turn: ITurn): void;
  remove(turn: ITurn): Promise<void>;
  sendNow(turn: ITurn): Promise<void>;
}

export function Pending(props: IPendingProps): JSX.Element | null {
  const { trans, turns } = props;
  if (!turns.length) {
    return null;
  }
  const held = turns.some(turn => turn.state === 'held');
  return (
    <section
      className="jp-Cellar-pending"
      aria-label={trans.__('Waiting messages')}
    >
      <header>
        {held
          ? trans._n(
              '%1 message is held because the answer before it ended early',
              '%1 messages are held because the answer before them ended early',
              turns.length
            )
          : trans._n('%1 message waits', '%1 messages wait', turns.length)}
      </header>
      <ol>
        {turns.map(turn => (
          <Row key={turn.id} {...props} turn={turn} />
        ))}
      </ol>
    </section>
  );
}

function Row(props: IPendingProps & { turn: ITurn }): JSX.Element {
  const { trans, turn, editing } = props;
  const pills = turn.pills?.length ?? 0;
  const held = turn.state === 'held';
  const attachments = trans._n('%1 attachment', '%1 attachments', pills);
  return (
    <li
      className={`jp-Cellar-pendingRow ${held ? 'jp-mod-held' : ''} ${editing === turn.id ? 'jp-mod-editing' : ''}`}
      data-turn={turn.id}
    >
      <span className="jp-Cellar-pendingText" title={turn.text}>
        {turn.text}
      </span>
      {pills > 0 ? (
        <small title={attachments} aria-label={attachments}>
          +{pills}
        </small>
      ) : null}
      <Action
        icon={runIcon}
        label={
          held
            ? trans.__('Send')
            : trans.__('Send now: stops the answer that runs')
        }
        act={() => void props.sendNow(turn)}
      />
      <Action
        icon={editIcon}
        label={trans.__('Edit')}
        act={() => props.edit(turn)}
      />
      <Action
        icon={deleteIcon}
        label={trans.__('Remove')}
        act={() => void props.remove(turn)}
      />
    </li>
  );
}

function Action(props: {
  icon: LabIcon;
  label: string;
  act(): void;
}): JSX.Element {
  const { icon: Icon, label, act } = props;
  return (
    <button
      type="button"
      className="jp-Cellar-iconButton"
      title={label}
      aria-label={label}
      onClick={act}
    >
      <Icon.react tag="span" />
    </button>
  );
}
