import QtQuick

// A question and the ways to answer it: beside each other where all fit on one line, else one below the other.
Column {
    id: choices
    required property Shades shades
    required property real rem
    required property string question
    required property var labels
    property int chosen: 0 // the first gives least

    function ways() {
        return Array.from({ length: list.count }, (_, index) => list.itemAt(index))
    }

    readonly property real widest: list.count === labels.length ? Math.max(...ways().map(way => way.wide)) : 0
    readonly property bool beside: labels.length * widest + (labels.length - 1) * grid.spacing <= width

    spacing: 0.5 * rem
    Accessible.role: Accessible.Grouping
    Accessible.name: question

    Words {
        width: choices.width
        shades: choices.shades
        rem: choices.rem
        text: choices.question
        font.weight: Font.DemiBold
    }
    Grid {
        id: grid
        columns: choices.beside ? choices.labels.length : 1
        spacing: 0.5 * choices.rem
        Repeater {
            id: list
            model: choices.labels
            Choice {
                required property int index
                required property string modelData
                width: choices.beside ? (choices.width - (list.count - 1) * grid.spacing) / list.count : choices.width
                shades: choices.shades
                rem: choices.rem
                label: modelData
                chosen: choices.chosen === index
                onWanted: {
                    choices.chosen = index
                    forceActiveFocus()
                }
            }
        }
    }
}
