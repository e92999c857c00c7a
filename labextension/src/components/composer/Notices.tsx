/** Lines between the transcript and the text: what failed, what is full, what is edited. */
import { closeIcon } from '@jupyterlab/ui-components';
import type * as React from 'react';

import { unknownCommand } from '../../chat/commands';
import type { IComposerState } from '../../chat/composer';
import { attachedItems } from '../../chat/items';
import { meterOf } from '../../chat/meter';
import type { IPreviewState } from '../../chat/preview';
import { IconButton, TextButton } from '../buttons';
import { MakeRoom } from '../MakeRoom';
import { errorWords } from '../words';
import type { IComposerProps } from './props';

export interface INoticesProps extends IComposerProps {
  state: IComposerState;
  seen: IPreviewState;
  canCompact: boolean;
  error: string | null;
  unsent: boolean;
  waits: boolean;
  dontWait(): void;
  askAnew: (() => void) | null;
  clearError(): void;
  cancelEdit(): void;
  sendAgain(): void;
  /** what is nearly a command was to be sent, and was not */
  doubted: boolean;
  sendAsText(): void;
}

export function Notices(props: INoticesProps): JSX.Element {
  const { trans, state, error } = props;
  return (
    <>
      <Room {...props} />
      {error !== null ? (
        <Failure trans={trans} words={error} close={props.clearError}>
          {props.askAnew ? (
            <TextButton
              label={trans.__('Ask in a new conversation')}
              act={props.askAnew}
            />
          ) : null}
        </Failure>
      ) : null}
      {/* As long as the server is away, the banner tells it. */}
      {props.unsent && props.chat.reached ? (
        <Failure
          trans={trans}
          words={trans.__('Your question did not get through.')}
          close={props.clearError}
        >
          <TextButton label={trans.__('Send again')} act={props.sendAgain} />
        </Failure>
      ) : null}
      {props.waits ? (
        <div className="jp-Cellar-notice" role="status">
          <span>{trans.__('Sent as soon as the upload has arrived.')}</span>
          <TextButton label={trans.__('Don’t send')} act={props.dontWait} />
        </div>
      ) : null}
      {state.kept ? null : (
        <div className="jp-Cellar-notice jp-mod-warn" role="status">
          {trans.__('This draft is too long to be kept over a reload.')}
        </div>
      )}
      <NoSuchCommand {...props} />
      {state.editing ? (
        <div className="jp-Cellar-notice">
          <span>
            {trans.__('Editing a waiting message: it is not sent meanwhile')}
          </span>
          <TextButton
            label={trans.__('Cancel')}
            title={trans.__('Leave it as it was (Esc)')}
            act={props.cancelEdit}
          />
        </div>
      ) : null}
      <div className="jp-Cellar-srOnly" role="status">
        {trans._n(
          '%1 attachment',
          '%1 attachments',
          attachedItems(state).length
        )}
      </div>
    </>
  );
}

/** Summing up goes on or has ended; or there is reason to begin it. */
function Room(props: INoticesProps): JSX.Element | null {
  const { trans, chat, actions, canCompact } = props;
  const { receipt, tooLong } = props.seen;
  if (chat.compacting) {
    return (
      <div className="jp-Cellar-notice" role="status">
        {chat.compacting}
      </div>
    );
  }
  if (tooLong) {
    const { title, text } = errorWords(trans, tooLong, {
      makeRoom: false,
      detach:
        tooLong.code === 'too_large' && attachedItems(props.state).length > 0
    });
    // It was sent all the same: the refusal says it.
    return props.error !== null ? null : (
      <div className="jp-Cellar-notice jp-mod-warn" role="status">
        <span>
          {title}. {text}
        </span>
      </div>
    );
  }
  const meter = receipt && meterOf(receipt);
  const left = meter !== null && meter.leftOutTurns > 0;
  if (!canCompact || !meter || !(left || meter.level === 'full')) {
    return null;
  }
  return (
    <div className="jp-Cellar-notice jp-mod-warn" role="status">
      <span>
        {left
          ? trans.__('Earlier messages no longer fit and are left out.')
          : trans.__('The model’s memory is nearly full.')}
      </span>
      <MakeRoom
        trans={trans}
        canCompact={canCompact}
        compact={actions.compact}
        newFromSummary={actions.newFromSummary}
      />
    </div>
  );
}

/** A question may begin with a slash; one that is nearly a command is asked about. */
function NoSuchCommand(props: INoticesProps): JSX.Element | null {
  const { trans, model, state } = props;
  const unknown = unknownCommand(state.text);
  if (unknown === null) {
    return null;
  }
  const { name, near } = unknown;
  if (near === null) {
    return (
      <div className="jp-Cellar-notice" role="status">
        <span>
          {trans.__('There is no command /%1: it is sent as text.', name)}
        </span>
      </div>
    );
  }
  const key = props.sendWith === 'enter' ? 'Enter' : 'Ctrl+Enter';
  return (
    <div
      className={`jp-Cellar-notice ${props.doubted ? 'jp-mod-warn' : ''}`}
      role="status"
    >
      <span>
        {props.doubted
          ? trans.__(
              'Not sent: there is no command /%1. %2 once more sends it as text.',
              name,
              key
            )
          : trans.__('There is no command /%1.', name)}
      </span>
      <div className="jp-Cellar-noticeActions">
        <TextButton
          label={trans.__('Use /%1', near)}
          act={() => {
            model.fill(`/${near}${state.text.slice(1 + name.length)}`);
            model.focus();
          }}
        />
        <TextButton
          label={trans.__('Send as text')}
          act={() => {
            props.sendAsText();
            model.focus();
          }}
        />
      </div>
    </div>
  );
}

function Failure(props: {
  trans: IComposerProps['trans'];
  words: string;
  close(): void;
  /** what can be done */
  children?: React.ReactNode;
}): JSX.Element {
  return (
    <div className="jp-Cellar-notice jp-mod-error" role="alert">
      <span>{props.words}</span>
      {props.children}
      <IconButton
        icon={closeIcon}
        label={props.trans.__('Dismiss')}
        act={props.close}
      />
    </div>
  );
}
