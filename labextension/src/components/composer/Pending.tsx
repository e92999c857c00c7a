/** Messages typed while an answer runs: listed, editable, removable, in order. */
import { deleteIcon, editIcon, runIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import { IconButton } from '../buttons';
import { visible } from '../markdown/safe';
import type { ISending } from '../../chat/state';
import type { IPill, ITurn } from '../../wire/types';

export interface IPendingProps {
  trans: TranslationBundle;
  turns: readonly ITurn[];
  edits: ReadonlySet<string>;
  /** the server does not have these yet: there is nothing to do with them */
  sending: readonly ISending[];
  /** id of the turn that is being edited in the composer */
  editing: string | null;
  edit(turn: ITurn): void;
  remove(turn: ITurn): Promise<void>;
  sendNow(turn: ITurn): Promise<void>;
}

export function Pending(props: IPendingProps): JSX.Element | null {
  const { trans, turns, sending } = props;
  const count = turns.length + sending.length;
  if (count === 0) {
    return null;
  }
  const held = turns.filter(
    turn => turn.state === 'held' && turn.id !== props.editing
  ).length;
  return (
    <section
      className="jp-Cellar-pending"
      aria-label={trans.__('Waiting messages')}
    >
      <header>
        {held > 0
          ? trans._n(
              '%1 message is held: the answer before it ended early, or it is edited elsewhere',
              '%1 messages are held: the answer before them ended early, or they are edited elsewhere',
              held
            )
          : trans._n('%1 message waits', '%1 messages wait', count)}
      </header>
      <ol>
        {turns.map(turn => (
          <Row key={turn.id} {...props} turn={turn} />
        ))}
        {sending.map(({ key, text, pills }) => (
          <li
            key={key}
            className="jp-Cellar-pendingRow jp-mod-sending"
            aria-busy="true"
          >
            <Message trans={trans} text={text} pills={pills} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Row(props: IPendingProps & { turn: ITurn }): JSX.Element {
  const { trans, turn, edits, editing } = props;
  const edited = editing === turn.id;
  const held = turn.state === 'held' && !edited;
  return (
    <li
      className={`jp-Cellar-pendingRow ${held ? 'jp-mod-held' : ''} ${edited ? 'jp-mod-editing' : ''}`}
      data-turn={turn.id}
    >
      <Message trans={trans} text={turn.text} pills={turn.pills ?? []} />
      {edits.has(turn.id) ? (
        <small className="jp-Cellar-dim">
          {trans.__('Edit of an earlier question')}
        </small>
      ) : null}
      {/* Its new words are sent from the box. */}
      {edited ? null : (
        <>
          <IconButton
            icon={runIcon}
            label={
              held
                ? trans.__('Send')
                : trans.__('Send now: stops the answer that runs')
            }
            act={() => void props.sendNow(turn)}
          />
          <IconButton
            icon={editIcon}
            label={trans.__('Edit')}
            act={() => props.edit(turn)}
          />
        </>
      )}
      <IconButton
        icon={deleteIcon}
        label={trans.__('Remove')}
        act={() => void props.remove(turn)}
      />
    </li>
  );
}

function Message(props: {
  trans: TranslationBundle;
  text: string;
  pills: readonly IPill[];
}): JSX.Element {
  const { trans, text, pills } = props;
  const count = pills.length;
  const attachments = trans._n('%1 attachment', '%1 attachments', count);
  return (
    <>
      <span className="jp-Cellar-pendingText" title={visible(text)}>
        {visible(text)}
      </span>
      {count > 0 ? (
        <small title={attachments} aria-label={attachments}>
          +{count}
        </small>
      ) : null}
    </>
  );
}
