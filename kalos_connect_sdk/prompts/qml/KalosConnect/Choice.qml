import QtQuick

// One way to answer a question, of which one is chosen.
FocusScope {
    id: choice
    required property Shades shades
    required property real rem
    required property string label
    required property bool chosen
    signal wanted()

    function activate() { wanted() }

    readonly property real wide: words.implicitWidth + mark.width + 2.75 * rem
    implicitHeight: Math.max(76, words.implicitHeight + rem)
    Accessible.role: Accessible.RadioButton
    Accessible.name: label
    Accessible.checkable: true
    Accessible.checked: chosen
    Accessible.focusable: true
    Accessible.onPressAction: wanted()
    Accessible.onToggleAction: wanted()

    Rectangle {
        anchors.fill: parent
        radius: 8
        color: choice.shades.panel
        border { width: choice.chosen ? 4 : 2; color: choice.chosen ? choice.shades.ink : choice.shades.line }
    }
    Rectangle {
        id: mark
        anchors { left: parent.left; leftMargin: choice.rem; verticalCenter: parent.verticalCenter }
        width: 1.75 * choice.rem
        height: width
        radius: width / 2
        color: choice.shades.ground
        border { width: 2; color: choice.chosen ? choice.shades.button : choice.shades.line }
        Rectangle {
            anchors.centerIn: parent
            width: parent.width / 2
            height: width
            radius: width / 2
            color: choice.shades.button
            visible: choice.chosen
        }
    }
    Words {
        id: words
        anchors { left: mark.right; leftMargin: 0.75 * choice.rem; right: parent.right; rightMargin: choice.rem }
        anchors.verticalCenter: parent.verticalCenter
        shades: choice.shades
        rem: choice.rem
        text: choice.label
        Accessible.ignored: true
    }
    MouseArea {
        anchors.fill: parent
        onClicked: choice.wanted()
    }
    Ring { shades: choice.shades }
}
