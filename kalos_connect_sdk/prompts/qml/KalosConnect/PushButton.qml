import QtQuick

// One step: a finger, Enter, or a screen reader's press. Two of them in a row look and cost the same (R12).
FocusScope {
    id: push
    required property Shades shades
    required property real rem
    required property string label
    property bool filled: true
    property bool taps: true
    signal pressed()

    function activate() { pressed() }

    implicitWidth: Math.max(76, words.implicitWidth + 2.5 * rem)
    implicitHeight: Math.max(76, words.implicitHeight + rem)
    Accessible.role: Accessible.Button
    Accessible.name: label
    Accessible.focusable: true
    Accessible.onPressAction: pressed()

    Rectangle {
        anchors.fill: parent
        radius: 8
        color: push.filled ? push.shades.button : push.shades.panel
        border { width: push.filled ? 0 : 2; color: push.shades.line }
    }
    Words {
        id: words
        anchors { fill: parent; leftMargin: push.rem; rightMargin: push.rem }
        shades: push.shades
        rem: push.rem
        text: push.label
        color: push.filled ? push.shades.buttonInk : push.shades.ink
        font.weight: Font.DemiBold
        horizontalAlignment: Text.AlignHCenter
        verticalAlignment: Text.AlignVCenter
        Accessible.ignored: true
    }
    MouseArea {
        anchors.fill: parent
        enabled: push.taps
        onClicked: push.pressed()
    }
    Ring { shades: push.shades }
}
