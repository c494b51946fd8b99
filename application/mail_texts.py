"""What the mails say: plain text, English and Chinese. Nothing of it comes from a stranger but the link's token."""

from dataclasses import dataclass

from domain.mail import Locale, MailKind


@dataclass(frozen=True, slots=True)
class _Text:
    subject: str
    body: str
    """`{link}` stands where the link goes, on a line of its own so that no reader breaks it."""


def write(kind: MailKind, locale: Locale, link: str) -> tuple[str, str]:
    """Subject and text."""
    text = _TEXTS[locale][kind]
    return text.subject, text.body.replace("{link}", link) + _SIGNATURES[locale]


_SIGNATURES = {
    Locale.EN: "\n\n-- \nThis mail was sent by Parley. Nobody reads answers to it.\n",
    Locale.ZH: "\n\n-- \n此邮件由 Parley 自动发送，请勿直接回复。\n",
}

_ENGLISH = {
    MailKind.RESET: _Text(
        "Set a new password",
        """Hello,

somebody, hopefully you, asked to set a new password for your account. Please follow this link:

{link}

It works once, for 15 minutes. All your logins end when the new password is set.

If it was not you, there is nothing to do: your password stays as it is.""",
    ),
    MailKind.CONFIRM: _Text(
        "Please confirm your address",
        """Hello,

please confirm that this address is yours:

{link}

The link works once, for one day. If you did not ask for an account, simply ignore this mail.""",
    ),
    MailKind.ALREADY_REGISTERED: _Text(
        "You already have an account",
        """Hello,

somebody, hopefully you, tried to register with this address, which already has an account. Nothing was changed.

If you forgot your password, you can set a new one here:

{link}""",
    ),
    MailKind.INVITE: _Text(
        "You are invited",
        """Hello,

you are invited to use Parley. Choose a password, and your account is ready:

{link}

The link works once, for 7 days. If you did not expect an invitation, simply ignore this mail.""",
    ),
    MailKind.PASSWORD_CHANGED: _Text(
        "Your password was changed",
        """Hello,

the password of your account was changed just now, and your other logins have ended.

If it was not you, please set a new password at once, and tell your administrator:

{link}""",
    ),
    MailKind.EMAIL_CHANGED: _Text(
        "Your address was changed",
        """Hello,

the e-mail address of your account was changed just now. From now on mails go to the new address.

If it was not you, please tell your administrator at once. Your account is at:

{link}""",
    ),
}

_CHINESE = {
    MailKind.RESET: _Text(
        "设置新密码",
        """您好！

有人（希望是您本人）请求为您的账户设置新密码。请打开以下链接：

{link}

该链接仅可使用一次，15 分钟内有效。新密码设置后，您的所有登录都会失效。

如果不是您本人操作，请忽略此邮件，您的密码不会改变。""",
    ),
    MailKind.CONFIRM: _Text(
        "请确认您的邮箱地址",
        """您好！

请打开以下链接，确认此邮箱地址属于您：

{link}

该链接仅可使用一次，1 天内有效。如果您没有申请账户，请忽略此邮件。""",
    ),
    MailKind.ALREADY_REGISTERED: _Text(
        "您已有账户",
        """您好！

有人（希望是您本人）尝试用此邮箱地址注册，但该地址已有账户。账户没有任何改动。

如果您忘记了密码，可以在此设置新密码：

{link}""",
    ),
    MailKind.INVITE: _Text(
        "邀请您使用 Parley",
        """您好！

邀请您使用 Parley。打开以下链接并设置密码，账户即可使用：

{link}

该链接仅可使用一次，7 天内有效。如果您并未期待此邀请，请忽略此邮件。""",
    ),
    MailKind.PASSWORD_CHANGED: _Text(
        "您的密码已更改",
        """您好！

您的账户密码刚刚被更改，其他登录均已失效。

如果不是您本人操作，请立即设置新密码，并通知管理员：

{link}""",
    ),
    MailKind.EMAIL_CHANGED: _Text(
        "您的邮箱地址已更改",
        """您好！

您账户的邮箱地址刚刚被更改，今后的邮件将发送到新地址。

如果不是您本人操作，请立即通知管理员。您的账户位于：

{link}""",
    ),
}

_TEXTS = {Locale.EN: _ENGLISH, Locale.ZH: _CHINESE}
