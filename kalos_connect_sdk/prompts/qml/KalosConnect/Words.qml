import QtQuick

// A text as it is written: never interpreted as markup (R14), wrapped, read out by a screen reader.
Text {
    required property Shades shades
    required property real rem

    color: shades.ink
    font.pixelSize: 1.5 * rem
    lineHeight: 1.1
    horizontalAlignment: Text.AlignLeft // right where everything is mirrored
    textFormat: Text.PlainText
    wrapMode: Text.Wrap
    Accessible.role: Accessible.StaticText
    Accessible.name: text
}
